#include "rahf/core/nn/checkpointing.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/autograd.h>

#include <array>
#include <iterator>
#include <utility>

#include "rahf/core/nn/layers.h"

namespace rahf::nn {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

/// The default generators that a body may draw from: the CPU's and the inputs' device's.
struct RandomState {
  std::vector<std::pair<at::Generator, Tensor>> states = {};

  static RandomState of(c10::Device device) {
    RandomState now;
    now.add(c10::kCPU);
    if (!device.is_cpu()) now.add(device);
    return now;
  }
  void add(c10::Device device) {
    const auto generator = at::globalContext().defaultGenerator(device);
    states.emplace_back(generator, generator.get_state());
  }
  /// The same generators as they stand now.
  RandomState current() const {
    auto now = *this;
    for (auto& [generator, state] : now.states) state = generator.get_state();
    return now;
  }
  void restore() const {
    for (auto [generator, state] : states) generator.set_state(state);
  }
};

/// Autocast's settings per device type.
struct AutocastState {
  struct Setting {
    bool enabled;
    at::ScalarType dtype;
  };
  static constexpr std::array kDevices = {at::kCPU, at::kCUDA};
  std::array<Setting, 2> settings = {};

  static AutocastState now() {
    AutocastState state;
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      state.settings[i] = {at::autocast::is_autocast_enabled(kDevices[i]),
                           at::autocast::get_autocast_dtype(kDevices[i])};
    }
    return state;
  }
  void apply() const {
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      at::autocast::set_autocast_enabled(kDevices[i], settings[i].enabled);
      at::autocast::set_autocast_dtype(kDevices[i], settings[i].dtype);
    }
  }
};

/// Runs what is in its scope under given autocast settings, and without autocast's cache of
/// converted weights: a cache filled without gradients would cut them off in the second run.
class AutocastScope {
 public:
  explicit AutocastScope(const AutocastState& state) {
    state.apply();
    at::autocast::set_autocast_cache_enabled(false);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;
  ~AutocastScope() {
    at::autocast::set_autocast_cache_enabled(cache_before_);
    before_.apply();
  }

 private:
  AutocastState before_ = AutocastState::now();
  bool cache_before_ = at::autocast::is_autocast_cache_enabled();
};

struct Saved : torch::CustomClassHolder {
  CheckpointBody body;
  std::int64_t inputs = 0;  ///< The saved variables that body takes; parameters follow.
  RandomState random;
  AutocastState autocast;
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static Tensor forward(AutogradContext* ctx, const c10::intrusive_ptr<Saved>& saved,
                        at::TensorList variables) {
    ctx->saved_data["saved"] = c10::IValue::make_capsule(saved);
    ctx->save_for_backward(variables.vec());  // also notices if one is changed before backward
    const AutocastScope scope(saved->autocast);
    return saved->body(variables.slice(0, saved->inputs).vec());  // gradients are off in here
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "rahf::nn::checkpoint: gradients of gradients are not supported");
    const auto capsule = ctx->saved_data["saved"].toCapsule();
    const auto& saved = static_cast<const Saved&>(*capsule);

    // body uses the parameters themselves and detached copies of its inputs.
    auto variables = ctx->get_saved_variables();
    variable_list wanted;
    for (std::int64_t i = 0; i < std::ssize(variables); ++i) {
      auto& x = variables[i];
      if (i < saved.inputs) x = x.detach().requires_grad_(x.requires_grad());
      if (x.requires_grad()) wanted.push_back(x);
    }
    Tensor out;
    {
      const auto random_before = saved.random.current();
      saved.random.restore();
      const AutocastScope scope(saved.autocast);
      const torch::AutoGradMode on(true);
      out = saved.body({variables.begin(), variables.begin() + saved.inputs});
      random_before.restore();
    }
    const auto got = torch::autograd::grad({out}, wanted, grads, /*retain_graph=*/{},
                                           /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result{Tensor()};  // none for `saved`
    auto next = got.begin();
    for (const auto& x : variables) result.push_back(x.requires_grad() ? *next++ : Tensor());
    return result;
  }
};

template <class Layer>
void add_adapters_of(const torch::nn::Module& module, variable_list& variables) {
  const auto* layer = dynamic_cast<const Layer*>(&module);
  if (layer == nullptr) return;
  for (const auto& one : layer->adapters) {
    variables.push_back(one.down);
    variables.push_back(one.up);
  }
}

/// Adapters are no parameters of their layers, but are trained like them.
void add_adapters(const torch::nn::Module& module, variable_list& variables) {
  add_adapters_of<LinearImpl>(module, variables);
  add_adapters_of<Conv2dImpl>(module, variables);
  for (const auto& child : module.children()) add_adapters(*child, variables);
}

}  // namespace

Tensor checkpoint(const torch::nn::Module& module, const std::vector<Tensor>& inputs,
                  CheckpointBody body) {
  if (!at::GradMode::is_enabled()) return body(inputs);
  auto saved = c10::make_intrusive<Saved>();
  saved->body = std::move(body);
  saved->inputs = std::ssize(inputs);
  saved->random = RandomState::of(inputs.front().device());
  saved->autocast = AutocastState::now();
  auto variables = inputs;
  for (const auto& parameter : module.parameters()) variables.push_back(parameter);
  add_adapters(module, variables);
  return Checkpoint::apply(saved, at::TensorList(variables));
}

}  // namespace rahf::nn

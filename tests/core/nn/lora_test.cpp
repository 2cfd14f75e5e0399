#include "rahf/core/nn/lora.h"

#include <torch/nn/modules/container/moduledict.h>

#include <algorithm>
#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/nn/layers.h"
#include "rahf/core/nn/parity.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using nn::Lora;
using nn::LoraOptions;
using torch::Tensor;

namespace {

/// An attention and a convolution with the names that diffusers' blocks have.
struct BlockImpl : torch::nn::Module {
  BlockImpl() {
    const auto attention = register_module("attn1", std::make_shared<torch::nn::Module>());
    to_q = attention->register_module("to_q", nn::Linear(4, 6));
    const auto out = attention->register_module("to_out", std::make_shared<torch::nn::Module>());
    to_out = out->register_module("0", nn::Linear(6, 4));
    conv_in = register_module("conv_in",
                              nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 3).padding(1).stride(2)));
  }
  /// [B, 2, H, W] -> [B, 4, H/2, W/2]
  Tensor forward(const Tensor& x) {
    const auto y = conv_in(x).movedim(1, -1);
    return (y + to_out(torch::tanh(to_q(y)))).movedim(-1, 1);
  }
  nn::Linear to_q{nullptr}, to_out{nullptr};
  nn::Conv2d conv_in{nullptr};
};
TORCH_MODULE(Block);

struct ModelImpl : torch::nn::Module {
  ModelImpl() {
    const auto down = register_module("down_blocks", std::make_shared<torch::nn::Module>());
    block = down->register_module("0", Block());
  }
  Tensor forward(const Tensor& x) { return block(x); }
  Block block{nullptr};
};
TORCH_MODULE(Model);

Model make_model() {
  torch::manual_seed(1);
  return Model();
}

const Tensor& pictures() {
  static const auto x = torch::randn({2, 2, 6, 6}, at::make_generator<at::CPUGeneratorImpl>(5));
  return x;
}

const LoraOptions kEverything{.targets = {"to_q", "to_out.0", "conv_in"}, .rank = 2, .alpha = 3};

/// An adapter that changes something: both factors are drawn.
Lora drawn(Model& model, const char* name, std::uint64_t seed = 1) {
  Lora lora(*model, name, kEverything, Randomness(seed));
  const torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (auto& one : lora.parameters()) {
    one.value.copy_(0.3 * torch::randn(one.value.sizes(), generator));
  }
  return lora;
}

/// The factors of an adapter under other names.
io::TensorMap renamed(const Lora& lora, const std::function<std::string(std::string, bool)>& name) {
  const ScratchFolder folder;
  lora.save(folder.path(), "unet");
  io::TensorMap tensors;
  for (const auto& [key, tensor] :
       io::read_safetensors(folder / "pytorch_lora_weights.safetensors").tensors) {
    const auto end = key.find(".lora_");
    const auto layer = key.substr(5, end - 5);  // without "unet."
    tensors[name(layer, key[end + 6] == 'A')] = tensor.clone();
  }
  return tensors;
}

}  // namespace

TEST_CASE("Lora adds alpha / r B A x to what a linear layer gives", "[core][lora]") {
  auto model = make_model();
  Lora lora(*model, "a", {.targets = {"to_q"}, .rank = 2, .alpha = 6}, Randomness(1));
  REQUIRE(lora.layers() == std::vector<std::string>{"down_blocks.0.attn1.to_q"});
  auto parameters = lora.parameters();
  REQUIRE(parameters.size() == 2);
  CHECK(parameters[0].name == "down_blocks.0.attn1.to_q.lora_A.weight");
  CHECK(parameters[1].name == "down_blocks.0.attn1.to_q.lora_B.weight");
  const auto x = torch::tensor({{1.f, 2.f, 0.f, -1.f}});
  auto& layer = model->block->to_q;
  const auto before = torch::linear(x, layer->weight, layer->bias);
  CHECK(torch::equal(layer(x), before));  // B is zero
  {
    const torch::NoGradGuard no_grad;
    parameters[0].value.copy_(torch::tensor({{1.f, 0.f, 0.f, 1.f}, {0.f, 1.f, 0.f, 0.f}}));
    parameters[1].value.zero_();
    parameters[1].value[4].copy_(torch::tensor({7.f, 10.f}));
  }
  // A x = (0, 2); B A x = 20 in row 4; scaled by 6 / 2.
  const auto added = layer(x) - before;
  CHECK(added[0][4].item<float>() == Approx(60));
  CHECK(added.abs().sum().item<float>() == Approx(60));
  lora.set_weight(0.5);
  CHECK((layer(x) - before)[0][4].item<float>() == Approx(30));
  lora.set_weight(0);
  CHECK(torch::equal(layer(x), before));
  lora.set_weight(1);
  lora.detach();
  CHECK(torch::equal(layer(x), before));
}

TEST_CASE("Lora starts with normal A of deviation 1 / r, the same for the same randomness",
          "[core][lora]") {
  auto make = [](std::uint64_t seed) {
    nn::Linear wide(400, 3);
    torch::nn::Module holder;
    holder.register_module("wide", wide);
    Lora lora(holder, "a", {.targets = {"wide"}, .rank = 4}, Randomness(seed));
    return lora.parameters().at(0).value.detach().clone();
  };
  const auto a = make(1);
  CHECK(a.std().item<double>() == Approx(0.25).epsilon(0.05));
  CHECK(torch::equal(a, make(1)));
  CHECK_FALSE(torch::equal(a, make(2)));
}

TEST_CASE("Lora gives the same output merged and unmerged", "[core][lora]") {
  auto model = make_model();
  const auto plain = model(pictures());
  auto lora = drawn(model, "a");
  lora.set_weight(GENERATE(1.0, -0.4));
  const auto adapted = model(pictures());
  CHECK_FALSE(torch::allclose(adapted, plain, 1e-2, 1e-2));
  lora.merge();
  CHECK(torch::allclose(model(pictures()), adapted, 1e-5, 1e-5));
  lora.merge();  // a second time changes nothing
  CHECK(torch::allclose(model(pictures()), adapted, 1e-5, 1e-5));
  lora.unmerge();
  CHECK(torch::allclose(model(pictures()), adapted, 1e-5, 1e-5));
  lora.merge();
  lora.detach();
  CHECK(torch::allclose(model(pictures()), plain, 1e-5, 1e-5));
}

TEST_CASE("Lora's weight can change while it is merged", "[core][lora]") {
  auto model = make_model();
  auto lora = drawn(model, "a");
  lora.set_weight(0.3);
  const auto expected = model(pictures());
  lora.set_weight(1);
  lora.merge();
  lora.set_weight(0.3);
  CHECK(torch::allclose(model(pictures()), expected, 1e-5, 1e-5));
}

TEST_CASE("Several Loras add up by their weights, whichever are merged", "[core][lora]") {
  auto model = make_model();
  auto& layer = model->block->to_q;
  const auto x = torch::randn({3, 4});
  const auto plain = layer(x);
  auto a = drawn(model, "a", 1), b = drawn(model, "b", 2);
  const auto of = [&](double weight_a, double weight_b) {
    a.set_weight(weight_a);
    b.set_weight(weight_b);
    return layer(x) - plain;
  };
  const auto only_a = of(1, 0), only_b = of(0, 1);
  CHECK_FALSE(torch::allclose(only_a, only_b));
  CHECK(torch::allclose(of(0.5, 2), 0.5 * only_a + 2 * only_b, 1e-4, 1e-5));
  a.merge();
  CHECK(torch::allclose(of(0.5, 2), 0.5 * only_a + 2 * only_b, 1e-4, 1e-5));
  REQUIRE_THROWS_MATCHES(Lora(*model, "b", kEverything, Randomness(1)), ConfigError,
                         Says("has an adapter 'b' already"));
}

TEST_CASE("Lora leaves the module's names alone and trains nothing but its factors",
          "[core][lora]") {
  auto model = make_model();
  const auto names = model->named_parameters().keys();
  auto lora = drawn(model, "a");
  CHECK(model->named_parameters().keys() == names);
  for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
  model(pictures()).square().sum().backward();
  for (const auto& one : lora.parameters()) {
    INFO(one.name);
    REQUIRE(one.value.grad().defined());
    CHECK(one.value.grad().abs().max().item<float>() > 0);
  }
}

TEST_CASE("Lora's gradients equal finite differences", "[core][lora]") {
  auto model = make_model();
  model->to(torch::kDouble);
  auto lora = drawn(model, "a");
  const auto x = pictures().to(torch::kDouble);
  const auto loss = [&] { return model(x).square().mean(); };
  loss().backward();
  const torch::NoGradGuard no_grad;
  for (auto& one : lora.parameters()) {
    INFO(one.name);
    auto entry = one.value.view({-1})[1];
    const double h = 1e-5;
    entry += h;
    const auto above = loss().item<double>();
    entry -= 2 * h;
    const auto below = loss().item<double>();
    entry += h;
    CHECK(one.value.grad().view({-1})[1].item<double>() ==
          Approx((above - below) / (2 * h)).epsilon(1e-5));
  }
}

TEST_CASE("Lora's gradients are the same bit for bit under gradient checkpointing",
          "[core][lora][checkpointing]") {
  auto model = make_model();
  auto lora = drawn(model, "a");
  for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
  const auto gradients = [&](bool checkpointing) {
    const auto body = [&](const std::vector<Tensor>& in) { return model(in[0]); };
    auto out = checkpointing ? nn::checkpoint(*model, {pictures()}, body) : body({pictures()});
    out.square().sum().backward();
    std::vector<Tensor> all;
    for (auto& one : lora.parameters()) {
      all.push_back(one.value.grad().clone());
      one.value.mutable_grad() = Tensor();
    }
    return all;
  };
  const auto plain = gradients(false), checkpointed = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(torch::equal(plain[i], checkpointed[i]));
}

TEST_CASE("Lora equals PEFT on linear layers and convolutions, with ranks and alphas per layer",
          "[core][lora][parity]") {
  const auto fixtures = rahf::test::fixtures() / "nn";
  const torch::NoGradGuard no_grad;
  auto model = nn::load_clip(fixtures / "clip");
  const auto test = nn::ParityCase::read(fixtures / "clip_lora" / "case.safetensors");
  const auto logits = [&] {
    return model->logits_per_image(model->encode_images(test.input("pixel_values")),
                                   model->encode_text(test.input("input_ids")));
  };
  const auto& expected = test.expected.at("logits_per_image");
  CHECK_FALSE(torch::allclose(logits(), expected, 1e-2, 1e-2));
  auto lora = Lora::load(*model, "peft", fixtures / "clip_lora", "clip");
  CHECK(lora.layers().size() == 3 * 4 + 2 * 4 + 1);
  CHECK(torch::allclose(logits(), expected, 1e-5, 1e-5));
  lora.merge();
  CHECK(torch::allclose(logits(), expected, 1e-5, 1e-5));
}

TEST_CASE("Lora is restored from what it saves", "[core][lora]") {
  const ScratchFolder folder;
  auto model = make_model(), other = make_model();
  auto lora = drawn(model, "a");
  lora.save(folder.path(), "unet");
  auto loaded = Lora::load(*other, "b", folder.path(), "unet");
  CHECK(torch::equal(other(pictures()), model(pictures())));
  const auto metadata = io::read_safetensors(folder / "pytorch_lora_weights.safetensors").metadata;
  CHECK(metadata.at("lora_adapter_metadata").find("\"unet.lora_alpha\":3.0") != std::string::npos);
  // A part of its own: nothing of it is taken for another.
  REQUIRE_THROWS_MATCHES(Lora::load(*other, "c", folder.path(), "transformer"), CheckpointError,
                         Says("must hold a LoRA of the transformer, there is one of unet"));
}

TEST_CASE("Lora reads the layouts of other programs", "[core][lora]") {
  const ScratchFolder folder;
  auto model = make_model(), other = make_model();
  auto lora = drawn(model, "a");
  lora.set_weight(2. / 3);  // none of these files says alpha, but where it is added
  const auto expected = model(pictures());
  const auto underscored = [](std::string layer) {
    std::replace(layer.begin(), layer.end(), '.', '_');
    return layer;
  };
  const std::string layout = GENERATE("peft", "wrapped", "diffusers", "processor", "kohya");
  INFO(layout);
  auto tensors = renamed(lora, [&](std::string layer, bool down) -> std::string {
    const std::string peft = down ? ".lora_A.weight" : ".lora_B.weight";
    const std::string side = down ? "down.weight" : "up.weight";
    if (layout == "peft") return "unet." + layer + peft;
    if (layout == "wrapped") return "base_model.model." + layer + peft;
    if (layout == "diffusers") return "unet." + layer + ".lora." + side;
    if (layout == "kohya") return "lora_unet_" + underscored(layer) + ".lora_" + side;
    const auto name = layer.substr(layer.rfind("attn1.") == layer.npos ? 0 : layer.find("attn1."));
    if (name == "attn1.to_q") return "unet.down_blocks.0.attn1.processor.to_q_lora." + side;
    if (name == "attn1.to_out.0") return "down_blocks.0.attn1.processor.to_out_lora." + side;
    return "unet." + layer + ".lora." + side;
  });
  // Another part's layers are passed over.
  tensors["text_encoder.x.q_proj.lora_linear_layer.down.weight"] = torch::ones({2, 2});
  tensors["lora_te1_x_q_proj.lora_up.weight"] = torch::ones({2, 2});
  if (layout == "kohya") {  // alpha per layer
    for (const auto& layer : lora.layers()) {
      tensors["lora_unet_" + underscored(layer) + ".alpha"] = torch::tensor(4.f);
    }
  }
  io::write_safetensors(folder / "lora.safetensors", tensors);
  auto loaded = Lora::load(*other, "b", folder / "lora.safetensors", "unet");
  if (layout == "kohya") loaded.set_weight(0.5);
  CHECK(loaded.layers() == lora.layers());
  CHECK(torch::allclose(other(pictures()), expected, 1e-5, 1e-6));
}

TEST_CASE("Lora refuses what does not fit the model, by name, and attaches nothing",
          "[core][lora]") {
  const ScratchFolder folder;
  auto model = make_model();
  const auto before = model(pictures());
  const auto file = folder / "lora.safetensors";
  const auto says = [&](const io::TensorMap& tensors, const char* message) {
    io::write_safetensors(file, tensors);
    REQUIRE_THROWS_MATCHES(Lora::load(*model, "a", file, "unet"), CheckpointError, Says(message));
    CHECK(torch::equal(model(pictures()), before));
  };
  auto good = [] {
    auto other = make_model();
    auto lora = drawn(other, "a");
    return renamed(lora, [](const std::string& layer, bool down) {
      return "unet." + layer + (down ? ".lora_A.weight" : ".lora_B.weight");
    });
  };
  auto tensors = good();
  tensors["unet.mid_block.attn1.to_q.lora_A.weight"] = torch::ones({2, 4});
  says(tensors, "a LoRA must fit the unet, but:\n  surplus mid_block.attn1.to_q");
  tensors = good();
  tensors["unet.down_blocks.0.attn1.to_q.lora_A.weight"] = torch::ones({2, 5});
  says(tensors, "down_blocks.0.attn1.to_q must be [2, 4] and [6, 2], got [2, 5] and [6, 2]");
  tensors = good();
  tensors.erase("unet.down_blocks.0.attn1.to_q.lora_B.weight");
  says(tensors, "down_blocks.0.attn1.to_q must have both factors");
  tensors = good();
  tensors["unet.down_blocks.0.attn1.to_q.dora_scale"] = torch::ones({6});
  says(tensors, "unet.down_blocks.0.attn1.to_q.dora_scale is of no layout that is known");
  REQUIRE_THROWS_MATCHES(Lora::load(*model, "a", folder.path(), "unet"), FileError,
                         Says("must hold pytorch_lora_weights.safetensors"));
}

TEST_CASE("LoraOptions rejects what no adapter can be", "[core][lora]") {
  auto model = make_model();
  const auto says = [&](LoraOptions options, const char* message) {
    REQUIRE_THROWS_MATCHES(Lora(*model, "a", options, Randomness(1)), ConfigError, Says(message));
  };
  says({}, "targets must each match a layer, got 'to_k', which matches none");
  says({.targets = {}}, "targets must not be empty");
  says({.targets = {"to_q"}, .rank = 0}, "rank must be > 0, got 0");
  says({.targets = {"to_q"}, .alpha = 0}, "alpha must be > 0, got 0");
  says({.targets = {"o_q"}}, "got 'o_q', which matches none");  // whole parts of a name
  const Lora every(*model, "a", {.targets = {"*attn1*"}}, Randomness(1));
  CHECK(every.layers().size() == 2);
}

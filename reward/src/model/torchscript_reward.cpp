#include "rahf/reward/model/torchscript_reward.h"

#include <torch/nn/functional/upsampling.h>
#include <torch/script.h>

#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::reward {

struct TorchScriptReward::Module {
  torch::jit::Module script;
};

TorchScriptReward::TorchScriptReward(Options options, torch::Device device)
    : options_(std::move(options)), device_(device), module_(std::make_unique<Module>()) {
  if (options_.scores.empty()) {
    throw ConfigError("TorchScriptReward: needs the names of the module's scores");
  }
  try {
    module_->script = torch::jit::load(options_.file.string(), device);
  } catch (const c10::Error& error) {
    throw CheckpointError(options_.file.string() + ": must be a TorchScript module (" +
                          error.what_without_backtrace() + ")");
  }
  module_->script.eval();
  for (const auto& parameter : module_->script.parameters()) parameter.requires_grad_(false);
}

TorchScriptReward::~TorchScriptReward() = default;

Judgement TorchScriptReward::judge(const torch::Tensor& images, const Prompts& prompts,
                                   const Ask& ask) {
  check_pictures("TorchScriptReward::judge", images, prompts, device_);
  Judgement judgement;
  if (!ask.scores) return judgement;
  auto pictures = images;
  const auto size = options_.input_size;
  if (size > 0 && (images.size(2) != size || images.size(3) != size)) {
    pictures =
        torch::nn::functional::interpolate(images, torch::nn::functional::InterpolateFuncOptions()
                                                       .size(std::vector<std::int64_t>{size, size})
                                                       .mode(torch::kBilinear)
                                                       .align_corners(false)
                                                       .antialias(true));
  }
  std::vector<c10::IValue> inputs = {pictures};
  if (options_.prompts) {
    c10::List<std::string> texts;
    for (const auto& prompt : prompts) texts.push_back(prompt.text);
    inputs.emplace_back(texts);
  }
  const auto answer = module_->script.forward(std::move(inputs));
  if (!answer.isTensor()) {
    throw ShapeError(options_.file.string() + ": forward must give a tensor of scores");
  }
  judgement.scores = answer.toTensor().to(torch::kFloat);
  Shapes(options_.file.string())
      .check("scores", judgement.scores,
             {images.size(0), static_cast<std::int64_t>(options_.scores.size())});
  return judgement;
}

}  // namespace rahf::reward

#include "rahf/core/generator.h"

#include "rahf/core/error.h"

namespace rahf {

Rollout select(const Rollout& rollout, const torch::Tensor& rows) {
  const auto batch = static_cast<std::int64_t>(rollout.prompts.size());
  const auto host = rows.to(torch::kCPU, torch::kLong).contiguous();
  if (host.dim() != 1) throw ShapeError("select: rows must be [R]");
  Rollout chosen{.options = rollout.options};
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    const auto row = host.data_ptr<std::int64_t>()[i];
    if (row < 0 || row >= batch) {
      throw ShapeError("select: rows must be in [0, " + std::to_string(batch) + "), got " +
                       std::to_string(row));
    }
    chosen.prompts.push_back(rollout.prompts[static_cast<std::size_t>(row)]);
  }
  const auto take = [&](const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.index_select(0, host.to(tensor.device())) : tensor;
  };
  chosen.images = take(rollout.images);
  chosen.latents = take(rollout.latents);
  chosen.states = take(rollout.states);
  chosen.log_prob = take(rollout.log_prob);
  chosen.decided = take(rollout.decided);
  chosen.timesteps = rollout.timesteps;
  for (const auto& [name, tensor] : rollout.kept) chosen.kept.emplace(name, take(tensor));
  return chosen;
}

torch::Tensor Generator::sample_through(const Prompts&, const BackpropOptions&, const Draws&) {
  throw ConfigError(
      "this generator offers no pictures with a gradient path (traits().sample_through)");
}

torch::Tensor Generator::clean_estimate(const torch::Tensor&, const Corrupted&) {
  throw ConfigError("this generator offers no clean estimates (traits().sample_through)");
}

torch::Tensor Generator::inpaint(const torch::Tensor&, const torch::Tensor&, const Prompts&,
                                 const SampleOptions&, const Draws&) {
  throw ConfigError("this generator offers no inpainting (traits().inpaint)");
}

}  // namespace rahf

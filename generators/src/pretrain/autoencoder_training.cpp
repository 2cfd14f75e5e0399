#include "rahf/generators/pretrain/autoencoder_training.h"

#include <c10/util/StringUtil.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/nn/weights.h"
#include "rahf/core/random.h"
#include "rahf/core/train/averages.h"
#include "rahf/core/train/run_folder.h"

namespace rahf::generators {
namespace {

using train::LossTerms;

/// From here on pictures are for evaluations: no run gets so far.
constexpr std::int64_t kFirstCheckPicture = std::int64_t{1} << 40;

void require(bool ok, const char* name, double value, const char* range) {
  if (ok) return;
  throw ConfigError(c10::str("pretrain: ", name, " must be ", range, ", got ", value));
}

/// What differs between the kinds.
struct Parts {
  std::vector<OptimisedParameter> parameters;
  std::function<LossTerms(const torch::Tensor& images, std::int64_t update)> losses;
  std::function<torch::Tensor(const torch::Tensor& images)> reconstruct;
  std::function<void(train::Loop&)> keep;
  std::function<void(const torch::Tensor& images)> save;  ///< Given pictures to measure latents on.
};

std::vector<OptimisedParameter> parameters_of(const torch::nn::Module& module,
                                              const std::string& without = {}) {
  std::vector<OptimisedParameter> parameters;
  for (const auto& item : module.named_parameters()) {
    if (item.key() == without) continue;
    parameters.push_back(
        {.name = item.key(), .value = item.value(), .weight_decay = item.value().dim() > 1});
  }
  return parameters;
}

void add_reconstruction(const AutoencoderTraining& options, const torch::Tensor& pictures,
                        const torch::Tensor& reconstructed, LossTerms& terms) {
  const auto difference = reconstructed - pictures;
  const auto count = static_cast<double>(difference.numel());
  terms.push_back({.name = "absolute", .sum = difference.abs().sum(), .count = count});
  terms.push_back({.name = "squared",
                   .weight = options.squared_weight,
                   .sum = difference.square().sum(),
                   .count = count});
}

void run_training(const AutoencoderTraining& options, const train::RunIdentity& identity,
                  const PictureSource& pictures, const PretrainingPlace& place, Parts parts) {
  train::RunFolder folder({place.run, place.resume, options.loop.keep}, identity);
  train::Optimisation optimisation(std::move(parts.parameters), options.optimisation,
                                   options.updates);
  train::Loop loop(folder, options.updates, options.loop);
  loop.keep("optimisation", optimisation);
  if (parts.keep) parts.keep(loop);
  loop.resume();

  const auto images = [&](std::int64_t first, std::int64_t count) {
    return pictures.at(first, count).images.to(place.device);
  };
  train::Averages averages;
  const auto update = [&](std::int64_t k) {
    const auto terms = parts.losses(images(k * options.batch_size, options.batch_size), k);
    train::LossCounts counts;
    for (const auto& term : terms) counts[term.name] = term.count;
    optimisation.backward(train::loss_share(terms, counts));
    const auto values = train::loss_values({terms});
    averages.add(values);
    averages.add(optimisation.step(values));
  };
  const auto check = [&]() -> train::RunLog::Values {
    const torch::NoGradGuard no_grad;
    const train::Averaged averaged(optimisation);
    const auto shown = images(kFirstCheckPicture, options.check_pictures);
    const auto error = (parts.reconstruct(shown).clamp(0, 1) - shown).square().mean().sqrt();
    return {{"check/rmse", error.item<double>()}};
  };
  loop.run({.update = update,
            .values = [&] { return averages.take(); },
            .check = check,
            .items_per_update = static_cast<double>(options.batch_size)});

  const torch::NoGradGuard no_grad;
  const train::Averaged averaged(optimisation);
  parts.save(images(kFirstCheckPicture, 4 * options.check_pictures));
  finish_model(place.model(), place);
}

train::RunIdentity identity_of(const auto& options, const PictureSource& pictures,
                               const PretrainingPlace& place) {
  return train::run_identity(options, train::LoopOptions::free(),
                             {{"pictures", pictures.identity()}, {"device", place.device.str()}});
}

/// [B, E, h, w] -> [B h w, E]
torch::Tensor rows_of(const torch::Tensor& latents) {
  return latents.permute({0, 2, 3, 1}).reshape({-1, latents.size(1)});
}

}  // namespace

void AutoencoderTraining::validate() const {
  require(updates > 0, "updates", static_cast<double>(updates), "> 0");
  require(batch_size > 0, "batch_size", static_cast<double>(batch_size), "> 0");
  require(squared_weight >= 0, "squared_weight", squared_weight, ">= 0");
  require(check_pictures > 0, "check_pictures", static_cast<double>(check_pictures), "> 0");
  loop.validate();
  optimisation.validate();
}

void VqTraining::validate() const {
  base.validate();
  require(commitment_weight >= 0, "commitment_weight", commitment_weight, ">= 0");
  require(continuous_share >= 0 && continuous_share < 1, "continuous_share", continuous_share,
          "in [0, 1)");
  require(start_batches > 0, "start_batches", static_cast<double>(start_batches), "> 0");
  codes.validate();
  model.validate();
}

void VaeTraining::validate() const {
  base.validate();
  require(kl_weight >= 0, "kl_weight", kl_weight, ">= 0");
  model.validate();
}

void normalise_latents(VQModel& model, const torch::Tensor& mean, double deviation) {
  const torch::NoGradGuard no_grad;
  auto parameters = model->named_parameters();
  auto &in_weight = parameters["quant_conv.weight"], &in_bias = parameters["quant_conv.bias"];
  auto &out_weight = parameters["post_quant_conv.weight"],
       &out_bias = parameters["post_quant_conv.bias"];
  in_weight.div_(deviation);
  in_bias.sub_(mean).div_(deviation);
  out_bias.add_(out_weight.flatten(1).matmul(mean));
  out_weight.mul_(deviation);
  model->codebook().sub_(mean).div_(deviation);
}

void train_vq(const VqTraining& options, const PictureSource& pictures,
              const PretrainingPlace& place) {
  options.validate();
  const Randomness random(options.base.seed);
  torch::manual_seed(random.key("weights", 0));  // LibTorch starts weights from its own generator
  VQModel model(options.model);
  model->to(place.device);
  EmaCodebook codebook(model->codebook(), options.codes);
  const auto continuous = static_cast<std::int64_t>(options.continuous_share *
                                                    static_cast<double>(options.base.updates));

  const auto start_codes = [&](std::int64_t update) {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> latents;
    for (std::int64_t i = 0; i < options.start_batches; ++i) {
      const auto first = (update + i) * options.base.batch_size;
      const auto images = pictures.at(first, options.base.batch_size).images.to(place.device);
      latents.push_back(rows_of(model->encode(images)));
    }
    codebook.start(torch::cat(latents), static_cast<double>(options.start_batches),
                   random.generator("start of codes", update));
  };

  Parts parts;
  parts.parameters = parameters_of(*model, "quantize.embedding.weight");
  parts.losses = [&](const torch::Tensor& images, std::int64_t update) {
    LossTerms terms;
    auto z = model->encode(images);
    if (update >= continuous) {
      if (!codebook.started()) start_codes(update);
      const auto ids = model->nearest(z);
      const auto codes = model->lookup(ids).detach();
      codebook.update(rows_of(z.detach()), ids.flatten(), random.generator("codes", update));
      terms.push_back({.name = "commitment",
                       .weight = options.commitment_weight,
                       .sum = (z - codes).square().sum(),
                       .count = static_cast<double>(z.numel())});
      z = z + (codes - z).detach();
    }
    add_reconstruction(options.base, images, model->decode(z), terms);
    return terms;
  };
  parts.reconstruct = [&](const torch::Tensor& images) {
    const auto z = model->encode(images);
    return model->decode(codebook.started() ? model->lookup(model->nearest(z)) : z);
  };
  parts.keep = [&](train::Loop& loop) { loop.keep("codebook", codebook); };
  parts.save = [&](const torch::Tensor& images) {
    const auto latents = rows_of(model->encode(images));
    const auto mean = latents.mean(0);
    normalise_latents(model, mean, (latents - mean).square().mean().sqrt().item<double>());
    save_vq_model(model, place.model());
  };
  run_training(options.base, identity_of(options, pictures, place), pictures, place,
               std::move(parts));
}

void train_vae(const VaeTraining& options, const PictureSource& pictures,
               const PretrainingPlace& place) {
  options.validate();
  const Randomness random(options.base.seed);
  torch::manual_seed(random.key("weights", 0));
  AutoencoderKL model(options.model);
  model->to(place.device);

  Parts parts;
  parts.parameters = parameters_of(*model);
  parts.losses = [&](const torch::Tensor& images, std::int64_t update) {
    const auto pictures_seen = images * 2 - 1;
    const auto posterior = model->encode(pictures_seen);
    const auto noise = torch::randn(posterior.mean.sizes(), random.generator("posterior", update))
                           .to(place.device);
    const auto divergence = posterior.kl();
    LossTerms terms = {{.name = "divergence",
                        .weight = options.kl_weight,
                        .sum = divergence.sum(),
                        .count = static_cast<double>(divergence.numel())}};
    const auto reconstructed = model->decode(posterior.sample(noise));
    add_reconstruction(options.base, images, (reconstructed + 1) / 2, terms);
    return terms;
  };
  parts.reconstruct = [&](const torch::Tensor& images) {
    return (model->decode(model->encode(images * 2 - 1).mean) + 1) / 2;
  };
  parts.save = [&](const torch::Tensor& images) {
    const auto latents = model->encode(images * 2 - 1).mean;
    auto scaled = options.model;
    scaled.shift_factor = latents.mean().item<double>();
    scaled.scaling_factor = 1 / latents.std().item<double>();
    AutoencoderKL saved(scaled);
    nn::load_weights(*saved, nn::weights(*model), "the trained model");
    save_autoencoder_kl(saved, place.model());
  };
  run_training(options.base, identity_of(options, pictures, place), pictures, place,
               std::move(parts));
}

}  // namespace rahf::generators

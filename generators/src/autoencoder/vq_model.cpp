#include "rahf/generators/autoencoder/vq_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>

#include <string>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"
#include "rahf/generators/part_folder.h"

namespace rahf::generators {

using torch::Tensor;

namespace {

constexpr double kCodebookWeight = 0.25;
constexpr std::int64_t kRowsAtOnce = 4096;  ///< Of distances to every code.

struct EmbeddingImpl : torch::nn::Module {
  explicit EmbeddingImpl(const Tensor& start) { weight = register_parameter("weight", start); }
  Tensor weight;
};

struct QuantizeImpl : torch::nn::Module {
  explicit QuantizeImpl(const Tensor& start) {
    embedding = register_module("embedding", std::make_shared<EmbeddingImpl>(start));
  }
  std::shared_ptr<EmbeddingImpl> embedding;
};

}  // namespace

void VQModelOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  coder.validate(name);
  require(num_vq_embeddings > 0, "num_vq_embeddings must be > 0", num_vq_embeddings);
  require(vq_embed_dim >= 0, "vq_embed_dim must be >= 0", vq_embed_dim);
  require(scaling_factor > 0, "scaling_factor must be > 0", scaling_factor);
}

VQModelImpl::VQModelImpl(VQModelOptions options) : options_(std::move(options)) {
  options_.validate();
  reset();
}

void VQModelImpl::reset() {
  const auto latent = options_.coder.latent_channels, code = options_.code_channels();
  encoder_ = register_module("encoder", Encoder(options_.coder, latent));
  quant_conv_ = register_module("quant_conv", nn::Conv2d(latent, code, 1));
  const double bound = 1.0 / static_cast<double>(options_.num_vq_embeddings);
  const auto quantize = register_module(
      "quantize", std::make_shared<QuantizeImpl>(
                      torch::empty({options_.num_vq_embeddings, code}).uniform_(-bound, bound)));
  codebook_ = quantize->embedding->weight;
  post_quant_conv_ = register_module("post_quant_conv", nn::Conv2d(code, latent, 1));
  decoder_ = register_module("decoder", Decoder(options_.coder));
}

Tensor VQModelImpl::encode(const Tensor& images) {
  options_.coder.check_images("VQModel::encode", images);
  return quant_conv_(encoder_(images));
}

Tensor VQModelImpl::nearest(const Tensor& z) const {
  Shapes("VQModel::nearest").check("z", z, {"B", options_.code_channels(), "h", "w"});
  const torch::NoGradGuard no_grad;
  // |z - e|^2 less |z|^2, which is the same for every code.
  const auto codes = codebook_.to(torch::kFloat);
  const auto squares = codes.square().sum(1);                                 // [V]
  const auto rows = z.permute({0, 2, 3, 1}).flatten(0, 2).to(torch::kFloat);  // [B h w, E]
  std::vector<Tensor> ids;
  for (const auto& some : rows.split(kRowsAtOnce)) {
    ids.push_back(torch::addmm(squares, some, codes.t(), 1, -2).argmin(1));
  }
  return torch::cat(ids).view({z.size(0), z.size(2), z.size(3)});
}

Tensor VQModelImpl::lookup(const Tensor& ids) const {
  Shapes("VQModel::lookup").check("ids", ids, {"B", "h", "w"}, torch::kLong);
  return torch::embedding(codebook_, ids).permute({0, 3, 1, 2});
}

Quantised VQModelImpl::quantise(const Tensor& z) const {
  Quantised result{.ids = nearest(z)};
  const auto codes = lookup(result.ids);
  result.commitment =
      ((codes.detach() - z).square() + kCodebookWeight * (codes - z.detach()).square()).mean(1);
  result.codes = z + (codes - z).detach();
  return result;
}

Tensor VQModelImpl::decode(const Tensor& codes) {
  Shapes("VQModel::decode").check("codes", codes, {"B", options_.code_channels(), "h", "w"});
  return decoder_(post_quant_conv_(codes));
}

void VQModelImpl::set_gradient_checkpointing(bool on) {
  encoder_->set_gradient_checkpointing(on);
  decoder_->set_gradient_checkpointing(on);
}

VQModelOptions vq_model_options(const std::filesystem::path& config_json) {
  const nn::ConfigFile config(config_json);
  CoderOptions::check_kind(config);
  VQModelOptions options;
  options.coder = {.latent_channels = 3,  // diffusers' defaults
                   .block_out_channels = {64},
                   .layers_per_block = 1};
  options.num_vq_embeddings = 256;
  config.read_fields(options);
  options.validate(config.name());
  return options;
}

VQModel load_vq_model(const std::filesystem::path& folder) {
  const nn::WithoutInitialisation scope;
  VQModel model(vq_model_options(folder / "config.json"));
  load_part(*model, folder);
  return model;
}

void save_vq_model(const VQModel& model, const std::filesystem::path& folder) {
  auto config = part_config("VQModel");
  config.set_fields(model->options());
  config.set("vq_embed_dim", model->options().code_channels());
  config.set("lookup_from_codebook", true);
  config.set("force_upcast", true);
  model->options().coder.write_kind(config);
  save_part(*model, config, folder);
}

}  // namespace rahf::generators

#include "rahf/generators/muse/amused.h"

#include <string>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/generators/part_folder.h"

namespace rahf::generators {

namespace {

void freeze(torch::nn::Module& module) {
  module.eval();
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
}

void require_equal(const char* what, std::int64_t wanted, std::int64_t got) {
  if (wanted == got) return;
  throw ConfigError("make_amused: " + std::string(what) + " must be " + std::to_string(wanted) +
                    ", got " + std::to_string(got));
}

/// Matrices decay; norms, biases and the embedding of the tokens do not.
std::vector<OptimisedParameter> parameters_of(const std::string& prefix,
                                              const torch::nn::Module& module) {
  std::vector<OptimisedParameter> all;
  for (const auto& one : module.named_parameters()) {
    const auto& name = one.key();
    const bool scale = one.value().dim() < 2 || name.ends_with(".gamma") || name.ends_with(".beta");
    all.push_back({.name = prefix + name,
                   .value = one.value(),
                   .weight_decay = !scale && name.find("embedding") == std::string::npos});
  }
  return all;
}

void save_pipeline(const AmusedParts& parts, const std::filesystem::path& folder) {
  save_uvit2d(parts.transformer, folder / "transformer");
  save_vq_model(parts.vqvae, folder / "vqvae");
  parts.text->save(folder);
  auto scheduler = part_config("AmusedScheduler");
  scheduler.set("mask_token_id", parts.transformer->options().mask_token());
  scheduler.set("masking_schedule", parts.schedule);
  io::write_atomically(folder / "scheduler" / "scheduler_config.json", scheduler.text());
  write_model_index(
      folder, "AmusedPipeline",
      {{.name = "scheduler", .library = "diffusers", .class_name = "AmusedScheduler"},
       {.name = "text_encoder",
        .library = "transformers",
        .class_name = "CLIPTextModelWithProjection"},
       {.name = "tokenizer", .library = "transformers", .class_name = "CLIPTokenizer"},
       {.name = "transformer", .library = "diffusers", .class_name = "UVit2DModel"},
       {.name = "vqvae", .library = "diffusers", .class_name = "VQModel"}});
}

}  // namespace

std::unique_ptr<Muse> make_amused(AmusedParts parts, torch::Device device, torch::Dtype dtype) {
  const auto& network = parts.transformer->options();
  require_equal("codebook_size of the transformer", parts.vqvae->options().num_vq_embeddings,
                network.codebook_size);
  require_equal("encoder_hidden_size of the transformer",
                parts.text->encoder()->options().hidden_size, network.encoder_hidden_size);
  require_equal("cond_embed_dim of the transformer",
                parts.text->encoder()->options().projection_dim, network.cond_embed_dim);
  parts.transformer->to(device, dtype);
  parts.vqvae->to(device);
  freeze(*parts.vqvae);
  parts.text->encoder()->to(device);
  if (!parts.train_text) freeze(*parts.text->encoder());

  MuseParts taken;
  taken.network = parts.transformer;
  taken.text = [text = parts.text](const Prompts& prompts) { return text->encode(prompts); };
  taken.encode = [vq = parts.vqvae](const torch::Tensor& images) mutable {
    return vq->encode_ids(images);
  };
  taken.decode = [vq = parts.vqvae](const torch::Tensor& ids) mutable {
    return vq->decode_ids(ids);
  };
  taken.trainable = [parts] {
    auto all = parameters_of("transformer.", *parts.transformer);
    if (parts.train_text) {
      for (auto& one : parameters_of("text_encoder.", *parts.text->encoder())) {
        all.push_back(std::move(one));
      }
    }
    return all;
  };
  taken.save = [parts](const std::filesystem::path& folder) { save_pipeline(parts, folder); };
  return std::make_unique<Muse>(
      std::move(taken),
      MuseOptions{.factor = parts.vqvae->options().coder.factor(), .schedule = parts.schedule});
}

AmusedParts load_amused_parts(const PipelineFolder& folder, torch::Device device, bool train_text) {
  AmusedParts parts;
  parts.transformer = load_uvit2d(folder.part("transformer"));
  parts.vqvae = load_vq_model(folder.part("vqvae"));
  parts.text = std::make_shared<TextCondition>(TextCondition::load(
      folder.path(), device, {.layer = TextLayer::kPenultimate, .trainable = train_text}));
  const nn::ConfigFile scheduler(folder.part("scheduler") / "scheduler_config.json");
  auto mask = parts.transformer->options().mask_token();
  scheduler.read("mask_token_id", mask);
  if (mask != parts.transformer->options().mask_token()) {
    throw ConfigError(scheduler.name() + ": mask_token_id must be the transformer's last token " +
                      std::to_string(parts.transformer->options().mask_token()) + ", got " +
                      std::to_string(mask));
  }
  std::string schedule = option_text::write(parts.schedule);
  scheduler.read("masking_schedule", schedule);
  try {
    option_text::read(schedule, parts.schedule);
  } catch (const ConfigError& error) {
    throw ConfigError(scheduler.name() + ": masking_schedule " + error.what());
  }
  parts.train_text = train_text;
  return parts;
}

std::unique_ptr<Muse> load_amused(const PipelineFolder& folder, torch::Device device) {
  return make_amused(load_amused_parts(folder, device), device);
}

}  // namespace rahf::generators

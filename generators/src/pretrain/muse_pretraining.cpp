#include "rahf/generators/pretrain/muse_pretraining.h"

#include <torch/utils.h>

#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/muse/amused.h"
#include "rahf/generators/pretrain/text_start.h"

namespace rahf::generators {
namespace {

void require_equal(const char* name, std::int64_t got, const char* to, std::int64_t wanted) {
  if (got == wanted) return;
  throw ConfigError(std::string("MusePretraining: ") + name + " must be " + to + " = " +
                    std::to_string(wanted) + ", got " + std::to_string(got));
}

}  // namespace

void MusePretraining::validate() const {
  base.validate();
  network.validate();
  text.validate();
  require_equal("network.encoder_hidden_size", network.encoder_hidden_size, "text.hidden_size",
                text.hidden_size);
  require_equal("network.cond_embed_dim", network.cond_embed_dim, "text.projection_dim",
                text.projection_dim);
}

void train_muse(const MusePretraining& options, const PictureSource& pictures,
                const PretrainingPlace& place,
                const std::function<train::RunLog::Values(Generator&)>& judge) {
  options.validate();
  auto autoencoder = load_vq_model(options.autoencoder);
  require_equal("network.codebook_size", options.network.codebook_size,
                "the autoencoder's num_vq_embeddings", autoencoder->options().num_vq_embeddings);

  torch::manual_seed(Randomness(options.base.seed).key("weights", 0));
  UVit2DModel network(options.network);
  const auto text = start_text(options.text, options.words, nn::ClipHead::kProjection,
                               TextLayer::kPenultimate, place.device);

  const auto generator =
      make_amused({.transformer = network, .vqvae = autoencoder, .text = text, .train_text = true},
                  place.device);
  train_generator({.generator = *generator, .judge = judge}, pictures, options.base,
                  train::run_identity(options, train::LoopOptions::free(), {}), place);
}

}  // namespace rahf::generators

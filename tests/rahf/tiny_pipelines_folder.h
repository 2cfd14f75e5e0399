#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "program.h"
#include "support/catch.h"

/// Pipeline folders of generators for pictures of 32 x 32 that have hardly learnt anything.
class TinyPipelines {
 public:
  /// @param folder  where they are made
  explicit TinyPipelines(const std::filesystem::path& folder) : folder_(folder) {
    pretrain("vq", {"--start-batches=1", "--continuous-share=0", "--model.block-out-channels=4,4",
                    "--model.norm-num-groups=2", "--model.layers-per-block=1",
                    "--model.latent-channels=2", "--model.num-vq-embeddings=8",
                    "--model.scaling-factor=1"});
  }

  std::string diffusion() {
    return pretrain("diffusion",
                    with_text({"--unet.sample-size=16", "--unet.in-channels=2",
                               "--unet.out-channels=2", "--unet.block-out-channels=8,8",
                               "--unet.layers-per-block=1", "--unet.norm-num-groups=4",
                               "--unet.down-block-types=DownBlock2D,CrossAttnDownBlock2D",
                               "--unet.up-block-types=CrossAttnUpBlock2D,UpBlock2D",
                               "--unet.attention-head-dim=2", "--unet.cross-attention-dim=8"}));
  }

  std::string muse() {
    return pretrain("muse",
                    with_text({"--network.sample-size=16", "--network.in-channels=8",
                               "--network.block-out-channels=8", "--network.num-res-blocks=1",
                               "--network.block-num-heads=2", "--network.hidden-size=8",
                               "--network.num-hidden-layers=1", "--network.num-attention-heads=2",
                               "--network.intermediate-size=8", "--network.codebook-size=8",
                               "--network.vocab-size=9", "--network.encoder-hidden-size=8",
                               "--network.cond-embed-dim=8", "--network.micro-cond-encode-dim=4",
                               "--network.micro-cond-embed-dim=20"}));
  }

 private:
  std::vector<std::string> with_text(std::vector<std::string> options) const {
    const auto autoencoder = (folder_ / "vq/model").string();
    options.insert(options.end(),
                   {"--pictures=4", "--text.hidden-size=8", "--text.intermediate-size=8",
                    "--text.num-hidden-layers=2", "--text.num-attention-heads=2",
                    "--text.max-position-embeddings=8", "--text.projection-dim=8", "--autoencoder",
                    autoencoder});
    return options;
  }

  std::string pretrain(const std::string& kind, const std::vector<std::string>& options) const {
    std::vector<std::string> arguments = {"pretrain",
                                          "--kind",
                                          kind,
                                          "--world.preset",
                                          "easy",
                                          "--world.size=32",
                                          "--updates=1",
                                          "--quiet",
                                          "--batch-size=2",
                                          "--check-every=0",
                                          "--check-pictures=2",
                                          "--out",
                                          (folder_ / kind).string()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    REQUIRE(rahf::program::run_program(arguments) == 0);
    return (folder_ / kind / "model").string();
  }

  std::filesystem::path folder_;
};

#include "rahf/generators/diffusion/unet.h"

#include <filesystem>
#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/nn/weights.h"
#include "rahf/generators/parity.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using generators::UNet2DConditionModel;
using generators::UNetOptions;

namespace {

const UNetOptions kTiny{.sample_size = {4},
                        .down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"},
                        .up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"},
                        .block_out_channels = {4, 8},
                        .layers_per_block = 1,
                        .norm_num_groups = 2,
                        .cross_attention_dim = 5,
                        .attention_head_dim = {2}};

struct Inputs {
  torch::Tensor sample = torch::randn({3, 4, 4, 6});
  torch::Tensor timestep = torch::tensor({1, 500, 999});
  torch::Tensor states = torch::randn({3, 7, 5});
};

}  // namespace

TEST_CASE("UNet2DConditionModel equals the reference implementation",
          "[generators][unet][parity]") {
  const std::string name = GENERATE("unet", "unet_linear", "unet_odd");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "generators" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences =
      nn::parity_differences(generators::unet_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 1);
  CHECK(differences[0].largest <= 1e-5);
}

TEST_CASE("UNet2DConditionModel computes the same with and without a gradient recorded",
          "[generators][unet]") {
  torch::manual_seed(1);
  UNet2DConditionModel model(kTiny);
  const Inputs in;
  const auto recorded = model(in.sample, in.timestep, in.states);
  const torch::NoGradGuard no_grad;
  const auto sample = in.sample.clone(), states = in.states.clone();
  CHECK(torch::allclose(model(in.sample, in.timestep, in.states), recorded, 1e-5, 1e-6));
  CHECK(torch::equal(in.sample, sample));  // what was given is left alone
  CHECK(torch::equal(in.states, states));
}

TEST_CASE("UNet2DConditionModel checkpoints with the same gradients, to rounding",
          "[generators][unet]") {
  torch::manual_seed(2);
  auto options = kTiny;
  options.dropout = GENERATE(0.0, 0.3);
  UNet2DConditionModel model(options);
  Inputs in;
  in.sample.requires_grad_();
  in.states.requires_grad_();
  const auto gradients = [&](bool checkpointing) {
    torch::manual_seed(3);
    model->set_gradient_checkpointing(checkpointing);
    model->zero_grad();
    in.sample.mutable_grad() = in.states.mutable_grad() = torch::Tensor();
    model(in.sample, in.timestep, in.states).square().sum().backward();
    std::vector<torch::Tensor> all = {in.sample.grad().clone(), in.states.grad().clone()};
    for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  // A map that a skip connection uses, too, has its gradient added up in another order.
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const auto size = plain[i].abs().max().item<double>();
    CHECK((plain[i] - recomputed[i]).abs().max().item<double>() <= 1e-5 * size + 1e-7);
  }
}

TEST_CASE("UNet2DConditionModel sees each sample with its own time and text",
          "[generators][unet]") {
  torch::manual_seed(4);
  const torch::NoGradGuard no_grad;
  UNet2DConditionModel model(kTiny);
  const Inputs in;
  const auto all = model(in.sample, in.timestep, in.states);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto one = model(in.sample.slice(0, i, i + 1), in.timestep.slice(0, i, i + 1),
                           in.states.slice(0, i, i + 1));
    CHECK(torch::allclose(one, all.slice(0, i, i + 1), 1e-5, 1e-6));
  }
  CHECK_FALSE(torch::allclose(model(in.sample, in.timestep.flip(0), in.states), all));
  CHECK_FALSE(torch::allclose(model(in.sample, in.timestep, in.states.flip(0)), all));
}

TEST_CASE("UNet2DConditionModel in bf16 stays near f32 and answers in the sample's type",
          "[generators][unet]") {
  torch::manual_seed(5);
  const torch::NoGradGuard no_grad;
  UNet2DConditionModel model(kTiny);
  const Inputs in;
  const auto exact = model(in.sample, in.timestep, in.states);
  model->to(torch::kBFloat16);
  const auto rounded = model(in.sample, in.timestep, in.states);
  CHECK(rounded.scalar_type() == torch::kFloat);
  CHECK((rounded - exact).abs().max().item<double>() < 0.05 * exact.abs().max().item<double>());
}

TEST_CASE("UNet2DConditionModel loads what it saved", "[generators][unet]") {
  const ScratchFolder folder;
  UNet2DConditionModel model(kTiny);
  generators::save_unet(model, folder.path());
  auto again = generators::load_unet(folder.path());
  CHECK(again->options().attention_head_dim == kTiny.attention_head_dim);
  const torch::NoGradGuard no_grad;
  const Inputs in;
  CHECK(torch::equal(again(in.sample, in.timestep, in.states),
                     model(in.sample, in.timestep, in.states)));
}

TEST_CASE("UNet2DConditionModel rejects what it cannot take", "[generators][unet]") {
  UNet2DConditionModel model(kTiny);
  const Inputs in;
  REQUIRE_THROWS_MATCHES(model(in.sample, in.timestep.slice(0, 1), in.states), ShapeError,
                         Says("timestep must be [B], got [2] (B = 3 in an earlier argument)"));
  REQUIRE_THROWS_MATCHES(model(in.sample, in.timestep, torch::zeros({3, 7, 6})), ShapeError,
                         Says("states must be [B, L, 5], got [3, 7, 6]"));
  const auto says = [](const UNetOptions& options, const char* text) {
    REQUIRE_THROWS_MATCHES(options.validate(), ConfigError, Says(text));
  };
  auto options = kTiny;
  options.attention_head_dim = {3};
  says(options, "the number of heads, must divide the level's channels, got 3");
  options = kTiny;
  options.up_block_types = {"UpBlock2D", "AttnUpBlock2D"};
  says(options,
       "up_block_types must be CrossAttnUpBlock2D or UpBlock2D per level, got "
       "UpBlock2D,AttnUpBlock2D");
  options = kTiny;
  options.attention_head_dim = {2, 2, 2};
  says(options, "attention_head_dim must be > 0, for all levels or per level, got 2,2,2");
}

TEST_CASE("unet_options refuses a model that it does not compute", "[generators][unet]") {
  const ScratchFolder folder;
  const auto file = folder / "config.json";
  const auto says = [&](const char* json, const char* text) {
    std::ofstream(file) << json;
    REQUIRE_THROWS_MATCHES(generators::unet_options(file), ConfigError, Says(text));
  };
  says(R"({"addition_embed_type": "text_time"})",
       "config.json: addition_embed_type must be null, got \"text_time\"");
  says(R"({"conv_in_kernel": 1})", "conv_in_kernel must be 3, got 1");
  says(R"({"layers_per_block": [1, 2]})", "layers_per_block has the wrong type: [1,2]");
  std::ofstream(file) << R"({"attention_head_dim": [5, 10, 20, 20], "mid_block_scale_factor": 1.0,
                             "cross_attention_dim": 1024, "num_attention_heads": null})";
  CHECK(generators::unet_options(file).attention_head_dim ==
        std::vector<std::int64_t>({5, 10, 20, 20}));
}

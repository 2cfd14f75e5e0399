#include <string>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/reward/model/rahf.h"
#include "rahf/reward/model/registry.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf;

namespace {

// Those of tools/fixtures/make_rahf_fixtures.py: of different lengths, so that two are padded.
const Prompts kPrompts = {
    {.text = "a red circle above a blue square"}, {.text = "a green circle"}, {.text = "blue"}};

}  // namespace

TEST_CASE("RahfReward says what the same network in the reference packages says",
          "[reward][rahf][parity]") {
  // Both designs of the heads, both variants, both contexts of the decoder.
  const std::string name = GENERATE("rahf_multi_head_plain", "rahf_augmented_residual");
  const auto folder = rahf::test::fixtures() / "reward" / name;
  const auto reward = reward::load_reward(folder);
  const auto test = io::read_safetensors(folder / "case.safetensors").tensors;
  const torch::NoGradGuard no_grad;
  const auto judgement = reward->judge(test.at("input.images").clone(), kPrompts);
  const auto check = [&](const char* output, const torch::Tensor& got) {
    const auto& expected = test.at(std::string("output.") + output);
    REQUIRE(got.sizes() == expected.sizes());
    INFO(name << ": " << output);
    CHECK((got - expected).abs().max().item<double>() <= 1e-5);
  };
  check("scores", judgement.scores);
  check("implausibility", judgement.implausibility);
  check("misalignment", judgement.misalignment);
  check("words", judgement.words.misaligned);
}

#include "rahf/reward/model/registry.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <fstream>
#include <string>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/scratch.h"

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

torch::Tensor two_pictures() {
  auto images = torch::zeros({2, 3, 4, 4});
  images[1].select(0, 0).fill_(0.5F);
  return images;
}

}  // namespace

TEST_CASE("load_reward makes a closed-form reward of how much of a colour there is",
          "[reward][registry]") {
  const ScratchFolder scratch;
  write(scratch / "config.json",
        R"({"architecture": "ColourShare", "score": "red", "colour": [1, 0, 0], "width": 0.5})");
  const auto reward = rahf::reward::load_reward(scratch.path());
  CHECK(reward->score_names() == std::vector<std::string>{"red"});
  auto images = two_pictures().requires_grad_();
  const auto scores = reward->judge(images, {{"a"}, {"b"}}).scores;
  CHECK(scores[0][0].item<double>() == Approx(std::exp(-4.)));
  CHECK(scores[1][0].item<double>() == Approx(std::exp(-1.)));
  // d / d red = 2 (1 - red) / width^2 exp(...) / pixels
  const auto gradient = torch::autograd::grad({scores.sum()}, {images})[0];
  CHECK(gradient[1][0][2][2].item<double>() == Approx(4 * std::exp(-1.) / 16));
}

TEST_CASE("load_reward makes a reward of a command", "[reward][registry]") {
  const ScratchFolder scratch;
  const auto with_command = [&](const std::string& command) {
    write(scratch / "config.json", R"({"architecture": "Command", "command": ")" + command +
                                       R"(", "scores": ["length", "picture"]})");
    return rahf::reward::load_reward(scratch.path());
  };
  // Prints the length of each prompt, and 1 where the picture is there.
  write(scratch / "judge.sh",
        "tail -n +2 \"$1/pictures.csv\" | while IFS=, read -r picture prompt; do\n"
        "  [ -s \"$1/$picture\" ] && echo \"${#prompt}, 1\"\ndone\n");
  const auto reward = with_command("sh judge.sh");
  CHECK_FALSE(reward->differentiable());
  const auto judgement = reward->judge(two_pictures(), {{"red"}, {"a blue star"}});
  CHECK(torch::equal(judgement.scores, torch::tensor({{3.F, 1.F}, {11.F, 1.F}})));

  const auto judge = [&](const std::string& command) {
    with_command(command)->judge(two_pictures(), {{"a"}, {"b"}});
  };
  CHECK_THROWS_MATCHES(judge("exit 3;"), rahf::Error, Says("must end with status 0, got 3"));
  CHECK_THROWS_MATCHES(judge("echo 1 2 #"), rahf::Error,
                       Says("must print a line per picture, 2, got 1"));
  CHECK_THROWS_MATCHES(judge("echo 1 #"), rahf::Error, Says("must print 2 numbers a line, got 1"));
  CHECK_THROWS_MATCHES(judge("echo 1 good #"), rahf::Error, Says("must print numbers, got 'good'"));
}

TEST_CASE("load_reward refuses a TorchScript file that is none", "[reward][registry]") {
  const ScratchFolder scratch;
  write(scratch / "config.json",
        R"({"architecture": "TorchScript", "file": "judge.pt", "scores": ["beauty"]})");
  write(scratch / "judge.pt", "no archive");
  CHECK_THROWS_MATCHES(rahf::reward::load_reward(scratch.path()), rahf::CheckpointError,
                       Says("must be a TorchScript module"));
}

TEST_CASE("load_reward names the architectures that there are", "[reward][registry]") {
  const ScratchFolder scratch;
  write(scratch / "config.json", R"({"architecture": "Oracle"})");
  CHECK_THROWS_MATCHES(rahf::reward::load_reward(scratch.path()), rahf::CheckpointError,
                       Says("architecture must be one of RahfModel, clip, ColourShare, Command, "
                            "TorchScript, got 'Oracle'"));
  write(scratch / "config.json", R"({"architecture": "Command", "scores": []})");
  CHECK_THROWS_AS(rahf::reward::load_reward(scratch.path()), rahf::CheckpointError);
}

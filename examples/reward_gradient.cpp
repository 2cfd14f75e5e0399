// Makes a picture please the reward by its gradient: reward_gradient MODEL PICTURE PROMPT OUT.png
#include <torch/autograd.h>

#include <iostream>

#include "rahf/core/io/image_file.h"
#include "rahf/reward/model/registry.h"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto reward = rahf::reward::load_reward(argv[1]);
  const rahf::Prompts prompts = {{argv[3], {}}};
  auto picture = rahf::to_tensor(rahf::io::read_image(argv[2])).unsqueeze(0);  // [1, 3, H, W]

  for (int step = 0; step <= 10; ++step) {
    picture = picture.detach().requires_grad_(true);
    const auto judgement = reward->judge(picture, prompts, {.words = false});
    const auto pleasure = judgement.scores.mean() - judgement.implausibility.mean();
    std::cout << "step " << step << ": " << pleasure.item<float>() << '\n';
    const auto gradient = torch::autograd::grad({pleasure}, {picture})[0];  // [1, 3, H, W]
    picture = (picture + gradient.sign() / 255).clamp(0, 1);
  }
  rahf::io::write_image(argv[4], rahf::to_image(picture[0]));
}

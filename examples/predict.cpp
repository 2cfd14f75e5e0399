// Judges one picture: predict MODEL PICTURE PROMPT
#include <iostream>

#include "rahf/core/io/image_file.h"
#include "rahf/reward/model/registry.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto reward = rahf::reward::load_reward(argv[1]);
  const auto picture = rahf::to_tensor(rahf::io::read_image(argv[2]));
  const torch::NoGradGuard no_grad;
  const auto judgement = reward->judge(picture.unsqueeze(0), {{argv[3], {}}});

  const auto names = reward->score_names();
  for (std::size_t k = 0; k < names.size(); ++k) {
    std::cout << names[k] << ' ' << judgement.scores[0][k].item<float>() << '\n';
  }
  const auto& words = judgement.words.text[0];
  for (std::size_t w = 0; w < words.size(); ++w) {
    std::cout << words[w] << ": missed with probability "
              << judgement.words.misaligned[0][w].item<float>() << '\n';
  }
  std::cout << "implausible at most " << judgement.implausibility.max().item<float>() << '\n';
}

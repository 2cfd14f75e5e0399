#include "rahf/core/judgement.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <utility>

#include "rahf/core/shapes.h"
#include "rahf/core/words.h"

namespace rahf {

Words lay_out_words(const Prompts& prompts, torch::Device device) {
  std::vector<std::vector<std::string>> text;
  std::size_t most = 0;
  for (const auto& prompt : prompts) {
    text.push_back(split_words(prompt.text));
    most = std::max(most, text.back().size());
  }
  auto mask = torch::zeros({std::ssize(text), static_cast<std::int64_t>(most)}, torch::kBool);
  auto* exists = mask.data_ptr<bool>();
  for (std::size_t b = 0; b < text.size(); ++b) {
    std::fill_n(exists + b * most, text[b].size(), true);
  }
  return {.text = std::move(text), .misaligned = {}, .mask = mask.to(device)};
}

void check_judgement(std::string_view where, const Judgement& judgement,
                     const std::vector<std::string>& pictures,
                     const std::vector<std::string>& score_names) {
  const auto batch = std::ssize(pictures);
  Shapes shapes(where);
  struct Part {
    std::string name;
    torch::Tensor values;  // [B, ...]
  };
  std::vector<Part> parts;
  const auto add = [&](const char* name, const torch::Tensor& values,
                       std::initializer_list<Dim> sizes) {
    if (!values.defined()) return;
    shapes.check(name, values, sizes);
    if (values.is_floating_point() && values.numel() > 0) parts.push_back({name, values});
  };
  add("scores", judgement.scores, {batch, std::ssize(score_names)});
  add("implausibility", judgement.implausibility, {batch, "H", "W"});
  add("misalignment", judgement.misalignment, {batch, "H", "W"});
  add("words.misaligned", judgement.words.misaligned, {batch, "words"});
  add("words.mask", judgement.words.mask, {batch, "words"});
  add("written", judgement.written, {batch, "words"});
  if (parts.empty()) return;

  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> sound;
  for (const auto& part : parts) sound.push_back(part.values.isfinite().all());
  if (torch::stack(sound).all().item<bool>()) return;

  for (const auto& [name, values] : parts) {
    const auto flat = values.to(torch::kCPU, torch::kFloat).flatten(1);  // [B, n]
    const auto bad = flat.isfinite().logical_not().nonzero();            // [m, 2]
    if (bad.size(0) == 0) continue;
    const auto b = bad[0][0].item<std::int64_t>(), place = bad[0][1].item<std::int64_t>();
    auto output = name;
    if (name == "scores")
      output += c10::str(" (", score_names[static_cast<std::size_t>(place)], ')');
    throw NonFiniteError(c10::str(where, ": a reward's values must be finite, got ",
                                  flat[b][place].item<float>(), " in ", output, " for ",
                                  pictures[static_cast<std::size_t>(b)]));
  }
}

}  // namespace rahf

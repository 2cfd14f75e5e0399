#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace rahf::reward {

/// A text made from the caption of a picture that shows all of it, and what to write for it.
struct CaptionTask {
  std::vector<std::string> shown;        ///< What the encoder reads.
  std::vector<std::string> target;       ///< What the decoder writes, ...
  std::vector<std::uint8_t> misaligned;  ///< ... with these words marked.
  std::vector<std::uint8_t> asked;  ///< Words that count: the rest would be copied from `shown`.
};

struct CaptionOptions {
  double weight = 0.5;         ///< Of the caption loss; 0 switches it off.
  double corrupt_share = 0.5;  ///< Captions with wrong words to be found; the rest are masked.
  double corrupt_words = 0.2;  ///< Share of the places where words are replaced.
  double mask_words = 0.3;     ///< Share of the places where words are hidden.
  double mask_all = 0.15;      ///< Masked captions with every word hidden: plain captioning.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("weight", self.weight, "weight of the caption loss; 0 switches it off; >= 0");
    visit("corrupt_share", self.corrupt_share,
          "captions with wrong words to be found; the rest have hidden words; in [0, 1]");
    visit("corrupt_words", self.corrupt_words,
          "share of places where one or two words are replaced; in [0, 1]");
    visit("mask_words", self.mask_words,
          "share of places where one or two words are hidden; in [0, 1]");
    visit("mask_all", self.mask_all, "masked captions with every word hidden; in [0, 1]");
  }
  void validate() const;
};

/// Makes texts from true captions, in the place of the paper's captioning data: words are hidden
/// and to be written from the picture, or replaced and to be marked.
///
/// One or two words are replaced by as many as were seen between the same two neighbours in the
/// prompts given at the start, so that the text alone does not give them away ("a red circle" ->
/// "a blue circle", "a circle above a star" -> "a circle left of a star"). Likewise one sentinel
/// hides one or two words, so that their number does not tell "left of" from "above".
/// Immutable once built; thread-safe.
class CaptionStream {
 public:
  static constexpr const char* kHidden =
      "<extra_id_0>";  ///< Stands for one or two hidden words: T5's sentinel.

  CaptionStream(const std::vector<std::string>& prompts, CaptionOptions options);

  CaptionTask draw(const std::vector<std::string>& caption, std::mt19937_64& engine) const;

  const CaptionOptions& options() const { return options_; }

 private:
  using Context = std::pair<std::string, std::string>;  ///< The words before and after.
  using Words = std::vector<std::string>;

  CaptionTask hide(const Words& caption, std::mt19937_64& engine) const;
  CaptionTask corrupt(const Words& caption, std::mt19937_64& engine) const;
  /// What was seen between the two words, drawn evenly; `span` itself where nothing was.
  const Words& another(const std::string& before, const Words& span, const std::string& after,
                       std::mt19937_64& engine) const;

  CaptionOptions options_;
  std::map<Context, std::vector<Words>> seen_;  ///< Sorted, each span once.
};

}  // namespace rahf::reward

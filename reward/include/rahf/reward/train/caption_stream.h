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
  bool hidden = false;  ///< `shown` hides words; else it is `target`, in which some may be wrong.
};

struct CaptionOptions {
  double weight = 0.5;         ///< Of the caption loss; 0 switches it off.
  double corrupt_share = 0.5;  ///< Captions with wrong words to be found; the rest are masked.
  double corrupt_words = 0.2;  ///< Share of the places where words are replaced.
  double mask_words = 0.3;     ///< Share of the places where words are hidden.
  double mask_all = 0.15;      ///< Masked captions with every word hidden: plain captioning.
  double word_weight = 0;      ///< Of the one-pass word loss on captions that are not masked.
  std::vector<std::string> phrases = {};  ///< Of one or more words; what can stand for each other,
                                          ///< each beside its opposite.
  double phrase_share = 0;                ///< Of captions with a phrase: tasks on it alone.

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
    visit(
        "word_weight", self.word_weight,
        "weight of the cross-entropy of P(misaligned) by the one-pass way on these captions; >= 0");
    visit("phrases", self.phrases,
          "phrases that can stand for each other, such as relations, each beside its opposite: "
          "above,below,left of,right of");
    visit("phrase_share", self.phrase_share,
          "of the captions with a phrase: tasks on the phrase alone; in [0, 1]");
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
///
/// A task on a phrase alone hides it behind one sentinel (half of them), or keeps it or puts
/// another phrase in its place, all of whose words are then marked. The other phrase is the
/// opposite half of the time: opposites differ the least. Immutable once built; thread-safe.
class CaptionStream {
 public:
  static constexpr const char* kHidden =
      "<extra_id_0>";  ///< Stands for one or two hidden words: T5's sentinel.

  CaptionStream(const std::vector<std::string>& prompts, CaptionOptions options);

  CaptionTask draw(const std::vector<std::string>& caption, std::mt19937_64& engine) const;

  /// True if the caption holds one of the phrases.
  bool has_phrase(const std::vector<std::string>& caption) const {
    return find_phrase(caption).length > 0;
  }

  const CaptionOptions& options() const { return options_; }

 private:
  using Context = std::pair<std::string, std::string>;  ///< The words before and after.
  using Words = std::vector<std::string>;

  struct Span {
    std::size_t begin = 0, length = 0;
  };
  /// The first phrase in the caption; of no length if there is none.
  Span find_phrase(const Words& caption) const;
  const Words& opposite(const Words& phrase) const;
  CaptionTask on_phrase(const Words& caption, Span span, std::mt19937_64& engine) const;
  CaptionTask hide(const Words& caption, std::mt19937_64& engine) const;
  CaptionTask corrupt(const Words& caption, std::mt19937_64& engine) const;
  /// What was seen between the two words, drawn evenly; `span` itself where nothing was.
  const Words& another(const std::string& before, const Words& span, const std::string& after,
                       std::mt19937_64& engine) const;

  CaptionOptions options_;
  std::vector<Words> phrases_;
  std::map<Context, std::vector<Words>> seen_;  ///< Sorted, each span once.
};

}  // namespace rahf::reward

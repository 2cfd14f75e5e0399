#include "rahf/reward/data/split.h"

#include "rahf/core/random.h"
#include "rahf/core/words.h"

namespace rahf::reward {

Split split_of(std::string_view prompt, double dev_share, double test_share, std::uint64_t seed) {
  const auto words = join_words(split_words(prompt));
  auto engine = Randomness(seed).engine("split " + words, 0);
  const double draw = uniform(engine);
  if (draw < test_share) return Split::kTest;
  return draw < test_share + dev_share ? Split::kDev : Split::kTrain;
}

}  // namespace rahf::reward

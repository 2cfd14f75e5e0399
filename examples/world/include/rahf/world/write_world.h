#pragma once

#include <cstdint>
#include <filesystem>

#include "rahf/core/random.h"
#include "rahf/world/picture.h"

namespace rahf::world {

/// What a written world holds, in counts.
struct WorldSummary {
  std::int64_t pictures = 0;
  std::int64_t flawed = 0;
  std::int64_t mismatched = 0;
};

/// Writes pictures 0 to `count` - 1 of the sequence, with a progress bar. In `folder`:
///
/// - `pictures/000000.png`, ...
/// - `annotations.jsonl`: one record per picture and annotator, in order: `image`, `prompt`,
///   `annotator`, `implausible_points`, `misaligned_points` ([[x, y], ...] in pixels from the top
///   left), `misaligned_words` (indices into split_words(prompt)), `scores` (1 to 5 by name);
/// - `truth.h5`: row i is picture i. Strings `image`, `prompt`, `flaws` and `mismatches` (names of
///   kinds, joined by commas); `scores` [N, 4] f32 in [0, 1] in kScoreNames order;
///   `implausibility` and `misalignment` [N, H, W] u8, 255 where marked; `severity` [N] f32, of
///   the worst flaw, 0 for none; bytes `misaligned_words` (0 or 1 per word) and `word_kinds`
///   (WordError per word). Attributes of the file: `format`, `version`, `seed`, and the options.
///
/// Memory does not grow with `count`. Annotations and truth appear only when complete.
/// @throws FileError if something cannot be written, ConfigError for bad options.
WorldSummary write_world(const std::filesystem::path& folder, std::int64_t count,
                         const WorldOptions& options, const Randomness& random);

}  // namespace rahf::world

#include "inspector_trial.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>

#include "disturbances.h"
#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "rahf/reward/metrics/score_metrics.h"
#include "rahf/world/flaw.h"
#include "rahf/world/picture.h"

namespace rahf::program {
namespace {

using world::Inspection;
using world::WordError;
using world::WorldPicture;

/// From here on a pixel of the implausibility map counts as marked.
constexpr float kMarked = 0.25F;

/// Collects values under names, in the order of first mention.
class Collector {
 public:
  void add(const std::string& name, double value) {
    const auto [place, is_new] = sums_.try_emplace(name);
    if (is_new) names_.push_back(name);
    place->second.first += value;
    ++place->second.second;
  }
  void append(const Collector& other) {
    for (const auto& name : other.names_) {
      const auto [place, is_new] = sums_.try_emplace(name);
      if (is_new) names_.push_back(name);
      place->second.first += other.sums_.at(name).first;
      place->second.second += other.sums_.at(name).second;
    }
  }
  std::vector<TrialFigure> figures() const {
    std::vector<TrialFigure> all;
    for (const auto& name : names_) {
      const auto& [sum, count] = sums_.at(name);
      all.push_back({name, sum / static_cast<double>(count), count, ""});
    }
    return all;
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::pair<double, std::int64_t>> sums_;
};

/// Time that this thread has spent computing.
double processor_milliseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e3 * double(time.tv_sec) + 1e-6 * double(time.tv_nsec);
}

/// The recovered scene is the one drawn: the same groups, and the caption's relation holds.
bool recovered(const Inspection& seen, const world::Description& drawn) {
  std::vector<world::Group> groups = {drawn.first};
  if (drawn.second) groups.push_back(*drawn.second);
  if (!std::is_permutation(groups.begin(), groups.end(), seen.groups.begin(), seen.groups.end()))
    return false;
  if (!drawn.second) return true;
  const auto wanted = seen.groups[0] == drawn.first ? drawn.relation : opposite(drawn.relation);
  return std::find(seen.relations.begin(), seen.relations.end(), wanted) != seen.relations.end();
}

bool flagged(const Inspection& seen) { return seen.plausibility < world::kFlawedBelow; }

/// Marked and planted pixels.
struct Overlap {
  double common = 0, either = 0, planted = 0, marked = 0;
  double iou() const { return either > 0 ? common / either : 1; }
};
Overlap overlap(const torch::Tensor& map, const world::Mask& mask) {
  Overlap result;
  const auto* values = map.data_ptr<float>();
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const bool marked = values[i] >= kMarked, planted = mask[i] != 0;
    result.common += marked && planted;
    result.either += marked || planted;
    result.planted += planted;
    result.marked += marked;
  }
  return result;
}

/// All that is learnt from the pictures with one index.
struct Findings {
  Collector means;
  double flawed_seen = 0, flawed_true = 0;
  double aligned_seen = 0, aligned_true = 0;
};

class Trial {
 public:
  Trial(const world::Inspector& inspector, std::uint64_t seed)
      : inspector_(inspector), random_(seed) {}

  Findings run(std::int64_t index) const {
    Findings findings;
    const auto clean = draw("clean", 0, 0, index);
    try_clean(clean, index, findings);
    try_flawed(draw("flawed", 1, 0, index), findings);
    try_severities(clean, index, findings);
    try_mismatched(draw("mismatched", 0, 1, index), findings);
    return findings;
  }

 private:
  WorldPicture draw(const char* what, double flawed, double mismatched, std::int64_t index) const {
    return world::draw_picture({.size = inspector_.options().side,
                                .flawed_share = flawed,
                                .mismatched_share = mismatched,
                                .annotators = 0},
                               Randomness(random_.key(what, 0)), index);
  }

  void try_clean(const WorldPicture& picture, std::int64_t index, Findings& findings) const {
    auto& means = findings.means;
    const double start = processor_milliseconds();
    const auto seen = inspector_.inspect(picture.image, picture.prompt);
    means.add("clean.milliseconds", processor_milliseconds() - start);
    means.add("clean.recovered", recovered(seen, picture.asked));
    means.add("clean.flagged", flagged(seen));
    means.add("clean.plausibility", seen.plausibility);
    means.add("clean.alignment", seen.alignment->score);
    for (const auto word : seen.alignment->words) {
      means.add("clean.words_flagged", word > world::kMisalignedAbove);
    }

    auto engine = random_.engine("change", index);
    const auto disturb = [&](const std::string& name, const Image& image) {
      const auto changed = inspector_.inspect(image, picture.prompt);
      means.add(name + ".recovered", recovered(changed, picture.asked));
      means.add(name + ".flagged", flagged(changed));
      means.add(name + ".plausibility", changed.plausibility);
      means.add(name + ".alignment", changed.alignment->score);
    };
    disturb("jpeg90", through_jpeg(picture.image, 90));
    disturb("noise2", with_noise(picture.image, 2, engine));
    disturb("blur", blurred(picture.image));

    const auto overlay = [&](const std::string& name, const Image& image) {
      const auto changed = inspector_.inspect(image);
      means.add("overlay." + name + ".lowered", changed.plausibility < seen.plausibility);
      means.add("overlay." + name + ".flagged", flagged(changed));
      means.add("overlay." + name + ".plausibility", changed.plausibility);
      means.add("overlay." + name + ".recovered", recovered(changed, picture.asked));
    };
    overlay("grid", with_grid(picture.image));
    overlay("texture", with_texture(picture.image));
    overlay("tint", with_tint(picture.image));
    overlay("noise", with_noise(picture.image, 14, engine));
  }

  void try_flawed(const WorldPicture& picture, Findings& findings) const {
    auto& means = findings.means;
    const auto seen = inspector_.inspect(picture.image, picture.prompt);
    findings.flawed_seen = seen.plausibility;
    findings.flawed_true = double(picture.truth.scores[0]);
    means.add("flaws.flagged", flagged(seen));
    if (picture.truth.flaws.size() == 1) {
      means.add("flaws.flagged." + std::string(name(picture.truth.flaws[0].kind)), flagged(seen));
    }
    const auto marks = overlap(seen.implausibility, picture.truth.implausibility);
    if (flagged(seen)) means.add("flaws.overlapping", marks.common > 0);
    means.add("flaws.iou", marks.iou());
    means.add("flaws.planted_pixels_found", marks.common / marks.planted);
    if (marks.marked > 0) means.add("flaws.marked_pixels_right", marks.common / marks.marked);
    means.add("flaws.alignment", seen.alignment->score);
    means.add("flaws.recovered", recovered(seen, picture.asked));
  }

  /// The same flaw at the same place, milder and worse by at least kGap.
  void try_severities(const WorldPicture& picture, std::int64_t index, Findings& findings) const {
    constexpr double kGap = 0.2;
    for (std::int64_t k = 0; k < world::kNumFlaws; ++k) {
      auto engine = random_.engine("severity", index * world::kNumFlaws + k);
      world::AppliedFlaw flaw;
      flaw.kind = static_cast<world::Flaw>(k);
      flaw.object = uniform_int(engine, static_cast<std::int64_t>(picture.shown.objects.size()));
      const double room = 1 - kGap - world::kMinSeverity;
      const double mild = world::kMinSeverity + room * uniform(engine);
      const double worse = mild + kGap + (1 - kGap - mild) * uniform(engine);
      const auto plausibility = [&](double severity) {
        auto same_engine = engine;
        flaw.severity = severity;
        auto canvas = world::draw(picture.shown, inspector_.options().side);
        apply(canvas, picture.shown, flaw, same_engine);
        return inspector_.inspect(canvas.image()).plausibility;
      };
      const bool ordered = plausibility(worse) < plausibility(mild);
      findings.means.add("severity.ordered", ordered);
      findings.means.add("severity.ordered." + std::string(name(flaw.kind)), ordered);
    }
  }

  void try_mismatched(const WorldPicture& picture, Findings& findings) const {
    auto& means = findings.means;
    const auto seen = inspector_.inspect(picture.image, picture.prompt);
    const auto& alignment = *seen.alignment;
    findings.aligned_seen = alignment.score;
    findings.aligned_true = double(picture.truth.scores[1]);
    means.add("mismatches.flagged", flagged(seen));
    means.add("mismatches.alignment_below_0.9", alignment.score < 0.9);
    means.add("mismatches.alignment_error",
              std::abs(findings.aligned_seen - findings.aligned_true));
    for (std::size_t i = 0; i < alignment.words.size(); ++i) {
      const bool told = alignment.words[i] > world::kMisalignedAbove;
      const auto truth = picture.truth.words[i];
      if (told) {
        means.add("words.precision", truth != WordError::kNone);
        means.add("words.precision." + std::string(name(alignment.errors[i])),
                  truth == alignment.errors[i]);
      }
      if (truth == WordError::kNone) continue;
      means.add("words.recall", told);
      means.add("words.recall." + std::string(name(truth)), told);
    }
    const auto marks = overlap(alignment.misalignment, picture.truth.misalignment);
    if (marks.planted > 0) means.add("mismatches.iou", marks.iou());
  }

  const world::Inspector& inspector_;
  Randomness random_;
};

void require(std::vector<TrialFigure>& figures, const std::string& name, std::string requirement) {
  for (auto& one : figures) {
    if (one.name == name) one.requirement = std::move(requirement);
  }
}

}  // namespace

std::vector<TrialFigure> try_inspector(const world::Inspector& inspector, std::int64_t count,
                                       std::uint64_t seed) {
  const Trial trial(inspector, seed);
  std::vector<Findings> all(count);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < count; ++i) all[i] = trial.run(i);

  Collector means;
  std::vector<double> seen[2], truth[2];
  for (const auto& findings : all) {
    means.append(findings.means);
    seen[0].push_back(findings.flawed_seen);
    truth[0].push_back(findings.flawed_true);
    seen[1].push_back(findings.aligned_seen);
    truth[1].push_back(findings.aligned_true);
  }
  auto figures = means.figures();
  figures.push_back({"flaws.srcc", reward::srcc(seen[0], truth[0]), count, ""});
  figures.push_back({"mismatches.srcc", reward::srcc(seen[1], truth[1]), count, ""});
  std::stable_sort(figures.begin(), figures.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });

  require(figures, "clean.recovered", ">= 0.99");
  require(figures, "clean.flagged", "<= 0.02");
  require(figures, "jpeg90.flagged", "<= 0.02");
  require(figures, "noise2.flagged", "<= 0.02");
  require(figures, "jpeg90.recovered", ">= 0.99");
  require(figures, "noise2.recovered", ">= 0.99");
  require(figures, "clean.alignment", ">= 0.99");
  require(figures, "clean.milliseconds", "<= 10");
  require(figures, "flaws.flagged", ">= 0.95");
  require(figures, "flaws.overlapping", ">= 0.9");
  for (std::int64_t k = 0; k < world::kNumFlaws; ++k) {
    const std::string kind(name(static_cast<world::Flaw>(k)));
    require(figures, "flaws.flagged." + kind, ">= 0.95");
    require(figures, "severity.ordered." + kind, ">= 0.9");
  }
  for (const auto* kind : {"grid", "texture", "tint", "noise"}) {
    require(figures, std::string("overlay.") + kind + ".lowered", ">= 0.99");
    require(figures, std::string("overlay.") + kind + ".flagged", ">= 0.99");
  }
  return figures;
}

const TrialFigure& figure(const std::vector<TrialFigure>& figures, const std::string& name) {
  for (const auto& one : figures) {
    if (one.name == name) return one;
  }
  std::string names;
  for (const auto& one : figures) names += ' ' + one.name;
  throw Error("figure: must be one of" + names + ", got " + name);
}

bool holds(const TrialFigure& figure) {
  if (figure.requirement.empty()) return true;
  const double bound = std::stod(figure.requirement.substr(3));
  return figure.requirement[0] == '>' ? figure.value >= bound : figure.value <= bound;
}

}  // namespace rahf::program

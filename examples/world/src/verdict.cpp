#include "rahf/world/verdict.h"

#include <algorithm>
#include <exception>
#include <map>

#include "rahf/core/error.h"
#include "rahf/core/image.h"
#include "rahf/world/truth.h"

namespace rahf::world {
namespace {

void require_equal(const char* what, std::size_t got, std::size_t prompts) {
  if (got == prompts) return;
  throw ShapeError(std::string(what) + ": must be one per prompt, got " + std::to_string(got) +
                   " for " + std::to_string(prompts) + " prompts");
}

/// Figures of the pictures by `figure(i)`, each picture in the group of its prompt.
class Grouped {
 public:
  Grouped(const Prompts& prompts, const reward::BootstrapOptions& options) : options_(options) {
    std::map<std::string, std::int32_t> known;
    for (const auto& prompt : prompts) {
      const auto next = static_cast<std::int32_t>(known.size());
      group_of_.push_back(known.try_emplace(prompt.text, next).first->second);
    }
    groups_ = static_cast<std::int64_t>(known.size());
  }
  std::int64_t groups() const { return groups_; }

  template <class Figure>
  reward::Estimate mean(Figure figure) const {
    std::vector<double> values;
    for (std::size_t i = 0; i < group_of_.size(); ++i) values.push_back(figure(i));
    return reward::bootstrap(reward::mean_statistic(std::move(values)), group_of_, groups_,
                             options_);
  }

 private:
  reward::BootstrapOptions options_;
  std::vector<std::int32_t> group_of_;
  std::int64_t groups_ = 0;
};

/// Fills in all figures, given how to get one of them from picture i by a function of a verdict.
template <class Of>
VerdictMeans summary(const Prompts& prompts, const reward::BootstrapOptions& options, Of of) {
  const Grouped grouped(prompts, options);
  const auto mean = [&](auto figure) {
    return grouped.mean([&](std::size_t i) { return of(i, figure); });
  };
  return {.pictures = static_cast<std::int64_t>(prompts.size()),
          .prompts = grouped.groups(),
          .plausibility = mean([](const Verdict& said) { return said.plausibility; }),
          .alignment = mean([](const Verdict& said) { return said.alignment; }),
          .aesthetics = mean([](const Verdict& said) { return said.aesthetics; }),
          .all_right = mean([](const Verdict& said) { return said.all_right ? 1.0 : 0.0; }),
          .good = mean([](const Verdict& said) { return said.good() ? 1.0 : 0.0; })};
}

}  // namespace

Verdict verdict(const Inspection& seen) {
  Verdict said{.plausibility = seen.plausibility};
  if (seen.alignment) {
    said.alignment = seen.alignment->score;
    const auto& words = seen.alignment->words;
    said.all_right = std::none_of(words.begin(), words.end(),
                                  [](double word) { return word > kMisalignedAbove; });
  }
  Scene scene;
  for (const auto& object : seen.objects) scene.objects.push_back(object.object);
  if (!scene.objects.empty()) said.aesthetics = aesthetics(scene);
  return said;
}

std::vector<Verdict> inspect_all(const Inspector& inspector, const torch::Tensor& images,
                                 const Prompts& prompts) {
  require_equal("inspect_all: images", images.dim() > 0 ? images.size(0) : 0, prompts.size());
  const auto host = images.to(torch::kCPU);
  std::vector<Verdict> all(prompts.size());
  std::vector<Image> pictures;
  for (std::int64_t i = 0; i < host.size(0); ++i) pictures.push_back(to_image(host[i]));
  std::exception_ptr problem;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < all.size(); ++i) {
    try {
      all[i] = verdict(inspector.inspect(pictures[i], prompts[i].text));
    } catch (...) {
#pragma omp critical(rahf_world_problem)
      problem = std::current_exception();
    }
  }
  if (problem) std::rethrow_exception(problem);
  return all;
}

std::vector<std::pair<std::string, reward::Estimate>> VerdictMeans::figures() const {
  return {{"plausibility", plausibility},
          {"alignment", alignment},
          {"aesthetics", aesthetics},
          {"all_right", all_right},
          {"good", good}};
}

VerdictMeans means(const std::vector<Verdict>& verdicts, const Prompts& prompts,
                   const reward::BootstrapOptions& options) {
  require_equal("means: verdicts", verdicts.size(), prompts.size());
  return summary(prompts, options, [&](std::size_t i, auto figure) { return figure(verdicts[i]); });
}

VerdictMeans gains(const std::vector<Verdict>& before, const std::vector<Verdict>& after,
                   const Prompts& prompts, const reward::BootstrapOptions& options) {
  require_equal("gains: before", before.size(), prompts.size());
  require_equal("gains: after", after.size(), prompts.size());
  return summary(prompts, options,
                 [&](std::size_t i, auto figure) { return figure(after[i]) - figure(before[i]); });
}

}  // namespace rahf::world

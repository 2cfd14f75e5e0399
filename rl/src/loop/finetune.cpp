#include "rahf/rl/loop/finetune.h"

#include <sys/resource.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <utility>
#include <vector>

#include "rahf/core/draw/picture_grid.h"
#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/train/averages.h"
#include "rahf/core/train/loop.h"
#include "rahf/core/train/run_folder.h"

namespace rahf::rl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The most memory that the process has held, MiB.
double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

class Finetuning {
 public:
  Finetuning(const FinetuneOptions& options, ObjectiveSettings& settings,
             const FinetuneParts& parts, const FinetunePlace& place)
      : options_(options),
        parts_(parts),
        random_(options.seed),
        scorer_(parts.reward, options.scoring),
        prompts_(parts.prompts, random_),
        objective_(settings.make({.generator = parts.generator,
                                  .scorer = scorer_,
                                  .prompts = prompts_,
                                  .random = random_})),
        optimisation_(parts.generator.trainable(), options.optimisation, options.updates),
        folder_({.folder = place.run, .resume = place.resume, .keep = options.keep},
                identity(settings, place.facts)) {
    for (const auto& prompt : parts.held_out) {
      followed_.insert(followed_.end(), static_cast<std::size_t>(options.follow.pictures), prompt);
    }
  }

  FinetuneResult run() {
    const auto per_round = objective_->updates_per_round();
    const auto rounds = [&](std::int64_t updates) {
      return std::max<std::int64_t>(1, updates / per_round);
    };
    const auto total = (options_.updates + per_round - 1) / per_round;
    train::Loop loop(folder_, total,
                     {.log_every = rounds(options_.log_every),
                      .check_every = options_.follow.every > 0 ? rounds(options_.follow.every) : 0,
                      .save_every = rounds(options_.save_every),
                      .keep = options_.keep});
    loop.keep("optimisation", optimisation_);
    loop.keep("objective", *objective_);
    FinetuneResult result{.rounds = total};
    result.before = follow("before.png");
    result.prompts = followed_;
    result.pictures_before = pictures_;
    loop.resume();
    loop.run({.update = [&](std::int64_t round) { make_round(round); },
              .values = [&] { return averages_.take(); },
              .check = parts_.held_out.empty() ? std::function<train::RunLog::Values()>()
                                               : [&] { return follow_now(); }});
    result.updates = optimisation_.steps();
    result.pictures = objective_->pictures_made();
    result.seconds = seconds_;
    {
      const train::Averaged averaged(optimisation_);
      result.after = follow("after.png");
      result.pictures_after = pictures_;
      parts_.generator.save(folder_.path() / "model");
    }
    return result;
  }

 private:
  train::RunIdentity identity(ObjectiveSettings& settings,
                              const std::map<std::string, std::string>& facts) {
    auto own = train::run_identity(options_, FinetuneOptions::free(), facts);
    const auto prefix = option_prefix(options_.objective);
    const auto fields = settings.fields(prefix);
    for (const auto& [name, value] : option_values(fields)) own.options[name] = value;
    const auto defaults = objective(options_.objective).settings();
    for (const auto& [name, value] : option_values(defaults->fields(prefix))) {
      own.defaults[name] = value;
    }
    own.config += write_config(fields);
    return own;
  }

  void make_round(std::int64_t round) {
    auto start = Clock::now();
    averages_.add(objective_->begin_round(round));
    const auto pictures = objective_->pictures();
    if (pictures.defined()) {
      averages_.add("seconds/sampling", seconds_since(start));
      averages_.add("images_per_second",
                    static_cast<double>(pictures.size(0)) / seconds_since(start));
    }
    seconds_ += seconds_since(start);
    start = Clock::now();
    const auto updates = std::min(objective_->updates(), options_.updates - optimisation_.steps());
    idle_ = updates == 0 ? idle_ + 1 : 0;
    if (idle_ >= options_.max_idle_rounds) {
      throw Error("finetune: a round must have something to learn from, got " +
                  std::to_string(idle_) +
                  " in a row without (all pictures of a prompt have the same reward, or none is "
                  "good enough)");
    }
    for (std::int64_t update = 0; update < updates; ++update) make_update(update);
    objective_->end_round(round);
    seconds_ += seconds_since(start);
    averages_.add("seconds/training", seconds_since(start));
    averages_.add("memory/peak_mib", peak_mib());
    averages_.add("updates", static_cast<double>(optimisation_.steps()));
  }

  void make_update(std::int64_t update) {
    optimisation_.discard();
    auto loss = torch::zeros({}, torch::TensorOptions(parts_.generator.device()));
    for (std::int64_t k = 0; k < objective_->pieces(update); ++k) {
      const auto piece = objective_->piece(update, k);
      optimisation_.backward(piece.loss);
      loss = loss + piece.loss.detach();
      averages_.add(piece.measures);
    }
    averages_.add({{"loss", loss}});
    averages_.add("learning_rate", optimisation_.learning_rate());
    averages_.add(optimisation_.step({{"loss", loss}}));
  }

  // What reward and judge say of the held-out prompts, and a grid of the first.
  train::RunLog::Values follow(const std::string& name) {
    if (parts_.held_out.empty()) return {};
    pictures_ = follow_pictures(parts_.generator, parts_.held_out, options_.follow, options_.seed);
    const auto& images = pictures_;
    const auto& prompts = followed_;
    const auto shown =
        std::min(options_.follow.shown, static_cast<std::int64_t>(parts_.held_out.size()));
    const auto first = torch::arange(shown) * options_.follow.pictures;
    const auto columns =
        static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(shown))));
    const auto file = folder_.path() / name;
    std::filesystem::create_directories(file.parent_path());
    io::write_image(file, draw::picture_grid(images.index_select(0, first), columns));
    const auto scored = scorer_.score(images.to(parts_.generator.device()), prompts);
    train::RunLog::Values values;
    for (std::size_t r = 0; r < options_.scoring.terms.size(); ++r) {
      values.emplace_back(
          "held_out/" + options_.scoring.terms[r],
          scored.terms.select(1, static_cast<std::int64_t>(r)).mean().item<double>());
    }
    if (parts_.judge) {
      for (const auto& [judge, value] : parts_.judge(images, prompts)) {
        values.emplace_back("judge/" + judge, value);
      }
    }
    return values;
  }

  train::RunLog::Values follow_now() {
    const train::Averaged averaged(optimisation_);
    std::ostringstream name;
    name << "pictures/" << std::setw(6) << std::setfill('0') << optimisation_.steps() << ".png";
    return follow(name.str());
  }

  FinetuneOptions options_;
  const FinetuneParts& parts_;
  Randomness random_;
  Scorer scorer_;
  PromptStream prompts_;
  std::unique_ptr<Objective> objective_;
  train::Optimisation optimisation_;
  train::RunFolder folder_;
  train::Averages averages_;
  std::int64_t idle_ = 0;
  double seconds_ = 0;
  Prompts followed_;        ///< The held-out prompts, one for each of pictures_.
  torch::Tensor pictures_;  ///< Of the last evaluation.
};

}  // namespace

void FollowOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("FollowOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("every", static_cast<double>(every), every >= 0, ">= 0");
  check("pictures", static_cast<double>(pictures), pictures > 0, "> 0");
  check("batch_size", static_cast<double>(batch_size), batch_size > 0, "> 0");
  check("steps", static_cast<double>(steps), steps > 0, "> 0");
  check("guidance_scale", guidance_scale, guidance_scale >= 0, ">= 0");
  check("stochasticity", stochasticity, stochasticity >= 0, ">= 0");
  check("shown", static_cast<double>(shown), shown > 0, "> 0");
}

void FinetuneOptions::validate() const {
  const auto positive = [](const char* name, std::int64_t value) {
    if (value > 0) return;
    throw ConfigError(std::string("FinetuneOptions.") + name + " = " + std::to_string(value) +
                      ", must be > 0");
  };
  positive("updates", updates);
  positive("log_every", log_every);
  positive("save_every", save_every);
  positive("keep", keep);
  positive("max_idle_rounds", max_idle_rounds);
  rl::objective(objective);
  scoring.validate();
  follow.validate();
  optimisation.validate();
}

std::set<std::string> FinetuneOptions::free() {
  return {"log_every",           "save_every",        "keep",
          "follow.every",        "follow.pictures",   "follow.steps",
          "follow.shown",        "follow.batch_size", "follow.guidance_scale",
          "follow.stochasticity"};
}

torch::Tensor follow_pictures(Generator& generator, const Prompts& prompts,
                              const FollowOptions& options, std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  Prompts all;
  for (const auto& prompt : prompts) {
    all.insert(all.end(), static_cast<std::size_t>(options.pictures), prompt);
  }
  const SampleOptions sampling{.num_steps = options.steps,
                               .guidance_scale = options.guidance_scale,
                               .stochasticity = options.stochasticity};
  const Randomness own(Randomness(seed).key("follow", 0));
  std::vector<torch::Tensor> parts;
  for (std::int64_t first = 0; first < std::ssize(all); first += options.batch_size) {
    const auto last = std::min<std::int64_t>(first + options.batch_size, std::ssize(all));
    parts.push_back(generator
                        .sample({all.begin() + first, all.begin() + last}, sampling,
                                {.random = own, .first = first})
                        .images.cpu());
  }
  return torch::cat(parts);
}

FinetuneResult finetune(const FinetuneOptions& options, ObjectiveSettings& settings,
                        const FinetuneParts& parts, const FinetunePlace& place) {
  options.validate();
  settings.validate();
  return Finetuning(options, settings, parts, place).run();
}

}  // namespace rahf::rl

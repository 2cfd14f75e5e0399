#include "rahf/generators/pretrain/generator_training.h"

#include <c10/util/StringUtil.h>
#include <torch/autograd.h>

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/progress.h"
#include "rahf/core/train/averages.h"

namespace rahf::generators {
namespace {

/// From here on pictures are for evaluations: no run gets so far.
constexpr std::int64_t kFirstCheckPicture = std::int64_t{1} << 40;

void require(bool ok, const char* name, double value, const char* range) {
  if (ok) return;
  throw ConfigError(c10::str("GeneratorTraining: ", name, " must be ", range, ", got ", value));
}

/// Pictures as the generator sees them, encoded once.
struct Encoded {
  torch::Tensor latents;  ///< [N, ...] on the generator's device
  Prompts prompts;        ///< N

  Encoded(Generator& generator, const PictureSource& pictures, std::int64_t first,
          std::int64_t count) {
    constexpr std::int64_t kTogether = 64;
    Progress progress("pictures encoded", count);
    for (std::int64_t done = 0; done < count; done += kTogether) {
      const auto n = std::min(kTogether, count - done);
      auto drawn = pictures.at(first + done, n);
      const auto encoded = generator.encode(drawn.images.to(generator.device()));
      if (!latents.defined()) {
        auto sizes = encoded.sizes().vec();
        sizes[0] = count;
        latents = torch::empty(sizes, encoded.options());
      }
      latents.slice(0, done, done + n).copy_(encoded);
      prompts.insert(prompts.end(), drawn.prompts.begin(), drawn.prompts.end());
      progress.add(n);
    }
  }
};

/// Goes over N things again and again, each time in another order.
class Order {
 public:
  Order(std::int64_t size, const Randomness& random) : size_(size), random_(random) {}
  /// Things that come at places `first` to `first + count` - 1: [count] i64.
  torch::Tensor at(std::int64_t first, std::int64_t count) {
    auto chosen = torch::empty({count}, torch::kLong);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto round = (first + i) / size_;
      if (round != round_) {
        order_ = torch::randperm(size_, random_.generator("order", round), torch::kLong);
        round_ = round;
      }
      chosen.data_ptr<std::int64_t>()[i] = order_.data_ptr<std::int64_t>()[(first + i) % size_];
    }
    return chosen;
  }

 private:
  std::int64_t size_;
  Randomness random_;
  std::int64_t round_ = -1;
  torch::Tensor order_;
};

/// The loss of some of the pictures; `draws` numbers them.
train::LossTerms losses(Generator& generator, const Encoded& encoded, const torch::Tensor& rows,
                        const GeneratorTraining& options, const Draws& draws) {
  const auto count = rows.size(0);
  const auto dropped = draws.uniform("caption dropout", 0, {count}) < options.caption_dropout;
  Prompts prompts;
  for (std::int64_t i = 0; i < count; ++i) {
    const bool drop = dropped.data_ptr<bool>()[i];
    prompts.push_back(drop ? Prompt{} : encoded.prompts[rows.data_ptr<std::int64_t>()[i]]);
  }
  const auto latents = encoded.latents.index_select(0, rows.to(encoded.latents.device()));
  const auto level = options.levels.draw(count, draws).to(latents.device());
  const auto corrupted = generator.corrupt(latents, level, draws);
  const auto prediction = generator.predict(corrupted, prompts, Policy::kTrained, 1);
  const auto error = generator.error(prediction, corrupted);  // [B, h, w]
  return {{.name = "error", .sum = error.sum(), .count = static_cast<double>(error.numel())}};
}

}  // namespace

void GeneratorTraining::validate() const {
  require(updates > 0, "updates", static_cast<double>(updates), "> 0");
  require(batch_size > 0, "batch_size", static_cast<double>(batch_size), "> 0");
  require(pictures > 0, "pictures", static_cast<double>(pictures), "> 0");
  require(caption_dropout >= 0 && caption_dropout <= 1, "caption_dropout", caption_dropout,
          "in [0, 1]");
  require(check_pictures > 0, "check_pictures", static_cast<double>(check_pictures), "> 0");
  levels.validate();
  loop.validate();
  optimisation.validate();
}

void train_generator(const GeneratorInTraining& subject, const PictureSource& pictures,
                     const GeneratorTraining& options, train::RunIdentity identity,
                     const PretrainingPlace& place) {
  options.validate();
  auto& generator = subject.generator;
  identity.facts["pictures"] = pictures.identity();
  identity.facts["device"] = place.device.str();
  train::RunFolder folder({place.run, place.resume, options.loop.keep}, identity);

  auto parameters = generator.trainable();
  parameters.insert(parameters.end(), subject.also.begin(), subject.also.end());
  train::Optimisation optimisation(std::move(parameters), options.optimisation, options.updates);
  train::Loop loop(folder, options.updates, options.loop);
  loop.keep("optimisation", optimisation);
  loop.resume();

  const Randomness random(options.seed);
  const Encoded learnt(generator, pictures, 0, options.pictures);
  const Encoded checked(generator, pictures, kFirstCheckPicture, options.check_pictures);
  Order order(options.pictures, random);

  train::Averages averages;
  const auto update = [&](std::int64_t k) {
    const auto first = k * options.batch_size;
    const auto terms = losses(generator, learnt, order.at(first, options.batch_size), options,
                              {.random = random, .first = first});
    optimisation.backward(train::loss_share(terms, {{"error", terms.front().count}}));
    const auto values = train::loss_values({terms});
    averages.add(values);
    averages.add(optimisation.step(values));
  };
  const auto check = [&] {
    const train::Averaged averaged(optimisation);
    train::RunLog::Values values;
    {
      const torch::NoGradGuard no_grad;
      const auto rows = torch::arange(options.check_pictures, torch::kLong);
      const auto terms = losses(generator, checked, rows, options,
                                {.random = random, .first = kFirstCheckPicture});
      values.emplace_back("check/error", terms.front().sum.item<double>() / terms.front().count);
    }
    if (subject.judge) {
      for (auto& value : subject.judge(generator)) values.push_back(std::move(value));
    }
    return values;
  };
  loop.run({.update = update,
            .values = [&] { return averages.take(); },
            .check = check,
            .items_per_update = static_cast<double>(options.batch_size)});

  const train::Averaged averaged(optimisation);
  generator.save(place.model());
  finish_model(place.model(), place);
}

}  // namespace rahf::generators

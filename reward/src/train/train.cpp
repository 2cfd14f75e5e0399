#include "rahf/reward/train/train.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <omp.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rahf/core/random.h"
#include "rahf/core/text/word_tokenizer.h"
#include "rahf/core/train/averages.h"
#include "rahf/core/words.h"
#include "rahf/reward/data/loader.h"

namespace rahf::reward {
namespace {

std::vector<std::string> prompts_of(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  std::set<std::string> prompts;
  for (const auto i : rows) prompts.insert(dataset.prompt(i));
  return {prompts.begin(), prompts.end()};
}

// Every word that the prompts, the tasks and the captions need.
std::vector<std::string> vocabulary_of(const std::vector<std::string>& prompts) {
  std::set<std::string> words;
  for (const auto& prompt : prompts) {
    for (auto& word : split_words(prompt)) words.insert(std::move(word));
  }
  std::vector<std::string> all = {std::string(kSuffix), CaptionStream::kHidden};
  for (const auto& [kind, names] :
       {std::pair{"SCORE", std::vector<std::string_view>(kScoreNames.begin(), kScoreNames.end())},
        std::pair{"HEATMAP", std::vector<std::string_view>(kMapNames.begin(), kMapNames.end())}}) {
    for (const auto name : names) {
      std::istringstream task(task_string(kind, name));
      for (std::string word; task >> word;) {
        if (std::find(all.begin(), all.end(), word) == all.end()) all.push_back(word);
      }
    }
  }
  for (const auto& word : words) {
    if (std::find(all.begin(), all.end(), word) == all.end()) all.push_back(word);
  }
  return all;
}

// Autocast to bfloat16 while it lives, in this thread.
class Autocast {
 public:
  Autocast(bool on, torch::Device device) : device_(device.type()) {
    was_on_ = at::autocast::is_autocast_enabled(device_);
    at::autocast::set_autocast_enabled(device_, on);
    if (on) at::autocast::set_autocast_dtype(device_, torch::kBFloat16);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_on_);
  }

 private:
  c10::DeviceType device_;
  bool was_on_;
};

Batch to_device(Batch batch, torch::Device device) {
  for (auto* tensor : {&batch.images, &batch.scores, &batch.implausibility, &batch.misalignment}) {
    *tensor = tensor->to(device, /*non_blocking=*/true);
  }
  return batch;
}

// The gradients of one micro-batch, and its loss by terms, without gradients.
struct MicroResult {
  std::vector<torch::Tensor> gradients;
  train::LossTerms terms;
};

// What decides the weights besides the options. Pictures and maps are not read for it: the names,
// prompts, scores and words stand for them.
std::map<std::string, std::string> facts_of(const Dataset& dataset,
                                            const std::vector<std::int64_t>& rows,
                                            torch::Device device) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3;
  };
  for (const auto i : rows) {
    for (const auto* text : {&dataset.image(i), &dataset.prompt(i)}) {
      add(text->c_str(), text->size() + 1);
    }
    add(dataset.scores(i).data(), sizeof(dataset.scores(i)));
    add(dataset.misaligned_words(i).data(), dataset.misaligned_words(i).size());
  }
  std::ostringstream text;
  text << std::hex << hash;
  return {{"data.rows", std::to_string(rows.size())},
          {"data.hash", text.str()},
          {"device", c10::DeviceTypeName(device.type(), /*lower_case=*/true)}};
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place)
      : options_(options), dataset_(dataset), place_(place), random_(options.seed) {
    options_.validate();
    rows_ = dataset.indices(options_.split);
    if (rows_.empty()) {
      throw ConfigError("train: the data has no pictures in split " + options_.split);
    }
    build_model();
    courses_ = options_.courses();
    for (const auto& course : courses_) ends_.push_back(total_updates() + course.updates);
  }

  void run() {
    auto free = train::LoopOptions::free();
    free.insert({"parallel", "loader_threads", "check_batches"});
    train::RunFolder folder(
        {.folder = place_.run, .resume = place_.resume, .keep = options_.loop.keep},
        train::run_identity(options_, free, facts_of(dataset_, rows_, place_.device)));
    train::Loop loop(folder, total_updates(), options_.loop);
    loop.keep(
        "optimisation", [this] { return optimisation_->state(); },
        [this](const io::TensorMap& state) { optimisation_->load_state(state); });
    // A checkpoint at the end of a stage holds that stage's state.
    begin_stage(stage_of(std::max<std::int64_t>(loop.saved() - 1, 0)));
    const auto done = loop.resume();
    if (done < total_updates()) open_loader(done);
    loop.run({.update = [this](std::int64_t k) { update(k); },
              .values =
                  [this] {
                    optimisation_->check_finite();
                    return averages_.take();
                  },
              .check = [this] { return check_losses(); },
              .items_per_update = static_cast<double>(options_.batch_size)});
    loader_.reset();
    const train::Averaged averaged(*optimisation_);
    save_rahf(place_.run / "model", *model_, *tokenizer_, place_.note,
              options_.half ? torch::kHalf : torch::kFloat);
  }

 private:
  std::int64_t total_updates() const { return ends_.empty() ? 0 : ends_.back(); }
  const LearningOptions& course() const { return courses_[stage_]; }
  std::int64_t begin_of(std::size_t stage) const { return stage == 0 ? 0 : ends_[stage - 1]; }
  /// The stage that update k belongs to.
  std::size_t stage_of(std::int64_t k) const {
    return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), k) -
                                    ends_.begin());
  }

  void build_model() {
    const auto prompts = prompts_of(dataset_, rows_);
    // Initial weights come from LibTorch's default generator.
    torch::manual_seed(random_.key("weights", 0));
    if (!options_.init.empty()) {
      model_ = load_rahf_model(options_.init);
      options_.model = model_->options();
      tokenizer_ = text::load_tokenizer(options_.init);
    } else {
      if (options_.tokenizer.empty()) {
        tokenizer_ = std::make_shared<text::WordTokenizer>(vocabulary_of(prompts));
        options_.model.t5.vocab_size = tokenizer_->vocab_size();
      } else {
        tokenizer_ = text::load_tokenizer(options_.tokenizer);
      }
      model_ = RahfModel(options_.model);
      if (!options_.init_vit.empty()) model_->load_vit(options_.init_vit);
      if (!options_.init_t5.empty()) model_->load_t5(options_.init_t5);
    }
    if (tokenizer_->vocab_size() > options_.model.t5.vocab_size) {
      throw ConfigError(
          "train: the tokenizer has " + std::to_string(tokenizer_->vocab_size()) +
          " ids, more than model.t5.vocab_size = " + std::to_string(options_.model.t5.vocab_size));
    }
    codec_ = std::make_unique<PromptCodec>(tokenizer_);
    model_->to(place_.device);
    model_->train();
    model_->set_gradient_checkpointing(options_.gradient_checkpointing);
  }

  /// Makes ready what a stage learns with, from the weights as they are.
  void begin_stage(std::size_t stage) {
    stage_ = stage;
    std::vector<OptimisedParameter> parameters;
    for (const auto& item : model_->named_parameters()) {
      const auto& name = item.key();
      const bool is_query = name.starts_with("t5.") && name.ends_with(".q.weight");
      const bool is_bias = name.find("relative_attention_bias") != std::string::npos;
      const bool is_table = is_bias || name.find("embeddings.") != std::string::npos ||
                            name.find("shared.") != std::string::npos;
      parameters.push_back({.name = name,
                            .value = item.value(),
                            .lr_scale = is_query  ? course().query_lr_scale
                                        : is_bias ? course().position_bias_lr_scale
                                                  : 1,
                            .weight_decay = item.value().dim() > 1 && !is_table});
    }
    optimisation_.emplace(std::move(parameters), course().optimisation, course().updates);
    captions_ = std::make_unique<CaptionStream>(prompts_of(dataset_, rows_), course().loss.caption);
  }

  std::vector<std::int64_t> rows_of_stage() const {
    if (course().pictures == PictureChoice::kAll) return rows_;
    std::vector<std::int64_t> rows;
    for (const auto i : rows_) {
      const auto& flags = dataset_.misaligned_words(i);
      const bool shows_all =
          std::none_of(flags.begin(), flags.end(), [](auto flag) { return flag != 0; });
      if (shows_all && captions_->has_phrase(split_words(dataset_.prompt(i)))) {
        rows.push_back(i);
      }
    }
    if (rows.empty()) {
      throw ConfigError("train: no picture shows all of a prompt with one of loss.caption.phrases");
    }
    return rows;
  }

  /// The loader of the present stage, from update k on.
  void open_loader(std::int64_t k) {
    loader_ = std::make_unique<Loader>(
        dataset_, rows_of_stage(),
        LoaderOptions{.batch_size = options_.batch_size / options_.micro_batches,
                      .image_size = model_->options().vit.image_size,
                      .seed = random_.key("loader", static_cast<std::int64_t>(stage_)),
                      .threads = options_.loader_threads,
                      .augment = options_.augment},
        (k - begin_of(stage_)) * options_.micro_batches);
  }

  MicroResult micro_batch(const Batch& batch, const RahfTasks& tasks,
                          const train::LossCounts& counts) {
    MicroResult result;
    torch::Tensor loss;
    {
      const Autocast autocast(options_.bf16, place_.device);
      result.terms = rahf_loss(*model_, *codec_, batch, tasks, course().loss);
      loss = train::loss_share(result.terms, counts);
    }
    result.gradients = optimisation_->gradients(loss);
    for (auto& term : result.terms) term.sum = term.sum.detach();
    return result;
  }

  // The micro-batches of an update. On a CPU `parallel` of them at a time, each in a thread with
  // one thread inside an operation, whatever `parallel` is. Their gradients are added in order: so
  // neither a micro-batch nor the sum depends on the threads.
  std::vector<MicroResult> micro_batches(const std::vector<Batch>& batches,
                                         const std::vector<RahfTasks>& tasks,
                                         const train::LossCounts& counts) {
    std::vector<MicroResult> results(batches.size());
    if (!place_.device.is_cpu()) {
      for (std::size_t i = 0; i < batches.size(); ++i) {
        results[i] = micro_batch(batches[i], tasks[i], counts);
      }
      return results;
    }
    std::vector<std::exception_ptr> errors(batches.size());
    std::vector<std::thread> threads;
    const auto parallel = static_cast<std::size_t>(options_.parallel);
    for (std::size_t t = 0; t < std::min(parallel, batches.size()); ++t) {
      threads.emplace_back([&, t] {
        at::get_num_threads();  // LibTorch sets a new thread's number on its first use
        omp_set_num_threads(1);
        for (auto i = t; i < batches.size(); i += parallel) {
          try {
            results[i] = micro_batch(batches[i], tasks[i], counts);
          } catch (...) {
            errors[i] = std::current_exception();
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors) {
      if (error) std::rethrow_exception(error);
    }
    return results;
  }

  void update(std::int64_t k) {
    if (stage_of(k) != stage_) {
      optimisation_->swap_average();
      begin_stage(stage_of(k));
      open_loader(k);
    }
    std::vector<Batch> batches;
    std::vector<RahfTasks> tasks;
    train::LossCounts counts;
    for (std::int64_t i = 0; i < options_.micro_batches; ++i) {
      batches.push_back(to_device(loader_->next(), place_.device));
      auto engine = random_.engine("loss", k * options_.micro_batches + i);
      tasks.push_back(rahf_tasks(model_->options().variant, *codec_, batches.back(), course().loss,
                                 captions_.get(), engine));
      for (const auto& [name, count] : tasks.back().counts) counts[name] += count;
    }
    // Dropout draws from LibTorch's default generator.
    torch::manual_seed(random_.key("dropout", k));
    auto results = micro_batches(batches, tasks, counts);

    std::vector<train::LossTerms> terms;
    for (auto& result : results) {
      optimisation_->accumulate(std::move(result.gradients));
      terms.push_back(std::move(result.terms));
    }
    const auto values = train::loss_values(terms);
    averages_.add(values);
    averages_.add("learning_rate", optimisation_->learning_rate());
    averages_.add(optimisation_->step(values));
  }

  // Losses on the dev split, of the moving average where there is one.
  train::RunLog::Values check_losses() {
    const auto rows = dataset_.indices("dev");
    if (rows.empty() || options_.split == "dev" || options_.split == "all") return {};
    const torch::NoGradGuard no_grad;
    model_->eval();
    const train::Averaged averaged(*optimisation_);
    const Loader loader(dataset_, rows,
                        {.batch_size = std::min(options_.batch_size, std::ssize(rows)),
                         .image_size = model_->options().vit.image_size,
                         .shuffle = false,
                         .threads = 0});
    std::vector<train::LossTerms> all;
    for (std::int64_t k = 0; k < options_.check_batches; ++k) {
      auto engine = random_.engine("check", k);
      const auto batch = to_device(loader.batch(k), place_.device);
      const Autocast autocast(options_.bf16, place_.device);
      all.push_back(rahf_loss(*model_, *codec_, batch,
                              rahf_tasks(model_->options().variant, *codec_, batch, course().loss,
                                         captions_.get(), engine),
                              course().loss));
    }
    model_->train();
    train::RunLog::Values values;
    for (const auto& [name, value] : train::loss_values(all)) {
      values.emplace_back("dev/" + name, value.item<double>());
    }
    return values;
  }

  TrainOptions options_;
  const Dataset& dataset_;
  const TrainPlace& place_;
  Randomness random_;
  std::vector<std::int64_t> rows_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::unique_ptr<PromptCodec> codec_;
  RahfModel model_{nullptr};

  std::vector<LearningOptions> courses_;
  std::vector<std::int64_t> ends_;  ///< Of the stages, in updates.
  std::size_t stage_ = 0;
  std::optional<train::Optimisation> optimisation_;
  std::unique_ptr<CaptionStream> captions_;
  std::unique_ptr<Loader> loader_;
  train::Averages averages_;
};

}  // namespace

void LearningOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("LearningOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("updates", static_cast<double>(updates), updates > 0, "> 0");
  check("query_lr_scale", query_lr_scale, query_lr_scale >= 0, ">= 0");
  check("position_bias_lr_scale", position_bias_lr_scale, position_bias_lr_scale >= 0, ">= 0");
  loss.validate();
  optimisation.validate();
  if (pictures == PictureChoice::kPhrases && loss.caption.phrases.empty()) {
    throw ConfigError("LearningOptions.pictures = phrases needs loss.caption.phrases");
  }
  if (!(loss.heatmap_weight > 0 || loss.score_weight > 0 || loss.sequence_weight > 0 ||
        loss.word_weight > 0 || loss.caption.weight > 0 || loss.caption.word_weight > 0)) {
    throw ConfigError("LearningOptions.loss: at least one weight must be > 0");
  }
}

std::vector<LearningOptions> TrainOptions::courses() const {
  if (stages.empty()) return {learning};
  std::vector<LearningOptions> all;
  for (const auto& stage : stages) all.push_back(stage.over(learning));
  return all;
}

void TrainOptions::validate() const {
  const auto positive = [](const char* name, std::int64_t value) {
    if (value > 0) return;
    throw ConfigError(std::string("TrainOptions.") + name + " = " + std::to_string(value) +
                      ", must be > 0");
  };
  positive("batch_size", batch_size);
  positive("micro_batches", micro_batches);
  const auto threads = [](const char* name, std::int64_t value) {
    if (value > 0 && value <= 256) return;
    throw ConfigError(std::string("TrainOptions.") + name + " = " + std::to_string(value) +
                      ", must be in [1, 256]");
  };
  threads("parallel", parallel);
  threads("loader_threads", loader_threads);
  positive("check_batches", check_batches);
  if (batch_size % micro_batches != 0) {
    throw ConfigError("TrainOptions.batch_size = " + std::to_string(batch_size) +
                      ", must be a multiple of micro_batches = " + std::to_string(micro_batches));
  }
  if (parallel > 1 && (model.vit.dropout > 0 || model.t5.dropout > 0)) {
    throw ConfigError(
        "TrainOptions.parallel > 1 needs model.vit.dropout and model.t5.dropout of 0: dropout "
        "draws from one generator");
  }
  loop.validate();
  model.validate();
  augment.validate();
  const auto all = courses();
  for (std::size_t i = 0; i < all.size(); ++i) {
    try {
      all[i].validate();
    } catch (const ConfigError& error) {
      if (stages.empty()) throw;
      throw ConfigError("stage " + std::to_string(i + 1) + ": " + error.what());
    }
  }
}

void train_rahf(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place) {
  Trainer(options, dataset, place).run();
}

}  // namespace rahf::reward

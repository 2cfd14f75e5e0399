#include "rahf/reward/train/train.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/nn/config.h"
#include "rahf/core/nn/weights.h"
#include "rahf/core/progress.h"
#include "rahf/core/random.h"
#include "rahf/core/text/word_tokenizer.h"
#include "rahf/core/train/checkpoint.h"
#include "rahf/core/train/run_log.h"
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

using Parts = std::vector<std::pair<std::string_view, torch::Tensor>>;

// The gradients of one micro-batch, and its loss by parts.
struct MicroResult {
  std::vector<torch::Tensor> gradients;
  torch::Tensor loss;
  Parts parts;
};

class Trainer {
 public:
  Trainer(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place)
      : options_(options),
        dataset_(dataset),
        place_(place),
        random_(options.seed),
        checkpoints_(place.run / "checkpoints", options.keep) {
    options_.validate();
    rows_ = dataset.indices(options_.split);
    if (rows_.empty()) {
      throw ConfigError("train: the data has no pictures in split " + options_.split);
    }
    build_model();
    open_run();
  }

  void run() {
    const LoaderOptions loader_options{.batch_size = options_.batch_size / options_.micro_batches,
                                       .image_size = model_->options().vit.image_size,
                                       .seed = options_.seed,
                                       .threads = options_.loader_threads,
                                       .augment = options_.augment};
    Loader loader(dataset_, rows_, loader_options, done_ * options_.micro_batches);
    RunLog log(place_.run, done_);
    Progress progress("updates", options_.updates, done_);
    const auto started = std::chrono::steady_clock::now();
    const auto first = done_;
    while (done_ < options_.updates) {
      update(loader);
      ++done_;
      const bool last = done_ == options_.updates;
      if (done_ % options_.log_every == 0 || last) {
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        auto values = averages();
        progress.set(done_, "loss " + short_text(values.front().second));
        values.emplace_back("images_per_second",
                            static_cast<double>((done_ - first) * options_.batch_size) / seconds);
        log.write(done_, values);
      } else {
        progress.add(1);
      }
      if (options_.check_every > 0 && (done_ % options_.check_every == 0 || last)) {
        const auto values = check_losses();
        if (!values.empty()) log.write(done_, values);
      }
      if (done_ % options_.save_every == 0 || last) save_checkpoint();
    }
    progress.finish();
    save_model();
  }

 private:
  static std::string short_text(double value) {
    std::ostringstream text;
    text.precision(4);
    text << value;
    return text.str();
  }

  void build_model() {
    const auto prompts = prompts_of(dataset_, rows_);
    captions_ = std::make_unique<CaptionStream>(prompts, options_.loss.caption);
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

    std::vector<OptimisedParameter> parameters;
    for (const auto& item : model_->named_parameters()) {
      const bool is_query = item.key().starts_with("t5.") && item.key().ends_with(".q.weight");
      const bool is_heatmap = item.key().starts_with("heatmap_predictor.");
      const bool is_table = item.key().find("embeddings.") != std::string::npos ||
                            item.key().find("relative_attention_bias") != std::string::npos ||
                            item.key().find("shared.") != std::string::npos;
      parameters.push_back({.name = item.key(),
                            .value = item.value(),
                            .lr_scale = is_query     ? options_.query_lr_scale
                                        : is_heatmap ? options_.heatmap_lr_scale
                                                     : 1,
                            .weight_decay = item.value().dim() > 1 && !is_table});
    }
    optimiser_ = std::make_unique<AdamW>(std::move(parameters), options_.adamw);
    if (options_.ema > 0) ema_ = std::make_unique<Ema>(optimiser_->values(), options_.ema);
  }

  // run.cfg is written once; a resumed run must be the same run.
  void open_run() {
    const auto file = place_.run / "run.cfg";
    const auto config = write_config(option_fields(options_));
    if (std::filesystem::exists(file)) {
      if (!place_.resume) {
        throw ConfigError(
            place_.run.string() +
            ": holds a run already (--resume goes on with it, or choose another --out)");
      }
      require_same_run(file, config);
    } else {
      io::write_atomically(file, config);
    }
    const auto latest = checkpoints_.latest();
    if (!latest) return;
    load_checkpoint(*latest);
  }

  // Options that change no result may differ.
  void require_same_run(const std::filesystem::path& file, const std::string& config) const {
    const std::set<std::string> free = {"parallel",    "loader_threads", "log_every",
                                        "check_every", "check_batches",  "save_every",
                                        "keep"};
    std::istringstream old_lines(io::read_file(file)), new_lines(config);
    std::string old_line, new_line;
    while (std::getline(new_lines, new_line)) {
      if (!std::getline(old_lines, old_line)) old_line.clear();
      if (old_line == new_line) continue;
      if (free.contains(new_line.substr(0, new_line.find(' ')))) continue;
      throw ConfigError(file.string() + ": the run to be resumed has '" + old_line +
                        "', this one '" + new_line + "'");
    }
  }

  MicroResult micro_batch(const Batch& batch, std::int64_t index) {
    auto engine = random_.engine("loss", index);
    MicroResult result;
    {
      const Autocast autocast(options_.bf16, place_.device);
      const auto terms = rahf_loss(*model_, *codec_, batch, options_.loss, captions_.get(), engine);
      result.loss = terms.total(options_.loss);
      result.parts = terms.parts();
    }
    result.gradients = torch::autograd::grad({result.loss}, optimiser_->values(), {}, {}, false,
                                             /*allow_unused=*/true);
    for (std::size_t i = 0; i < result.gradients.size(); ++i) {
      if (!result.gradients[i].defined()) {
        result.gradients[i] = torch::zeros_like(optimiser_->values()[i]);
      }
    }
    for (auto& [name, part] : result.parts) part = part.detach();
    result.loss = result.loss.detach();
    return result;
  }

  // All micro-batches of an update, `parallel` at a time, each in a thread with one intra-op
  // thread. Their gradients are added in order, so the sum does not depend on the threads.
  std::vector<MicroResult> micro_batches(std::vector<Batch> batches) {
    std::vector<MicroResult> results(batches.size());
    const auto first = done_ * options_.micro_batches;
    if (options_.parallel == 1) {
      // Dropout draws from LibTorch's default generator.
      torch::manual_seed(random_.key("dropout", done_));
      for (std::size_t i = 0; i < batches.size(); ++i) {
        results[i] = micro_batch(batches[i], first + static_cast<std::int64_t>(i));
      }
      return results;
    }
    std::vector<std::exception_ptr> errors(batches.size());
    std::vector<std::thread> threads;
    for (std::int64_t t = 0; t < options_.parallel; ++t) {
      threads.emplace_back([&, t] {
        at::set_num_threads(1);
        for (auto i = static_cast<std::size_t>(t); i < batches.size();
             i += static_cast<std::size_t>(options_.parallel)) {
          try {
            results[i] = micro_batch(batches[i], first + static_cast<std::int64_t>(i));
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

  void update(Loader& loader) {
    std::vector<Batch> batches;
    for (std::int64_t i = 0; i < options_.micro_batches; ++i) {
      batches.push_back(to_device(loader.next(), place_.device));
    }
    auto results = micro_batches(std::move(batches));

    const torch::NoGradGuard no_grad;
    auto gradients = std::move(results.front().gradients);
    for (std::size_t m = 1; m < results.size(); ++m) {
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        gradients[i].add_(results[m].gradients[i]);
      }
    }
    const double share = 1.0 / static_cast<double>(options_.micro_batches);
    if (options_.micro_batches > 1) {
      for (auto& gradient : gradients) gradient.mul_(share);
    }
    auto loss = torch::zeros({}, results.front().loss.options());
    for (const auto& result : results) loss = loss + result.loss * share;
    const auto norm = clip_gradients(gradients, options_.clip_norm);
    // A step that is not finite is not made. Telling so needs the value, which on a GPU would wait
    // for it at every update: there the test is made when the log is written.
    const auto bad = torch::logical_not(torch::isfinite(norm) & torch::isfinite(loss));
    if (place_.device.is_cpu() && bad.item<bool>()) throw_non_finite(done_, loss, norm, results);
    bad_updates_ = bad_updates_.defined() ? bad_updates_ + bad : bad.to(torch::kLong);
    const auto learning_rate = options_.schedule.at(done_, options_.updates);
    optimiser_->step(gradients, learning_rate, bad.to(torch::kFloat));
    if (ema_) ema_->update(done_);
    record(results, loss, norm, learning_rate);
  }

  [[noreturn]] void throw_non_finite(std::int64_t update, const torch::Tensor& loss,
                                     const torch::Tensor& norm,
                                     const std::vector<MicroResult>& results) const {
    std::ostringstream message;
    message << "train: update " << update + 1 << " is not finite: loss " << loss.item<double>()
            << ", gradient norm " << norm.item<double>();
    for (const auto& result : results) {
      for (const auto& [name, part] : result.parts) {
        if (!std::isfinite(part.item<double>())) message << ", " << name << " loss";
      }
    }
    message << ". The weights before it are in " << (place_.run / "checkpoints").string()
            << "; a lower learning rate or a lower clip_norm may help";
    throw NonFiniteError(message.str());
  }

  void record(const std::vector<MicroResult>& results, const torch::Tensor& loss,
              const torch::Tensor& norm, double learning_rate) {
    std::vector<std::pair<std::string, torch::Tensor>> values = {{"loss", loss}};
    for (std::size_t i = 0; i < results.front().parts.size(); ++i) {
      auto sum = results.front().parts[i].second;
      for (std::size_t m = 1; m < results.size(); ++m) sum = sum + results[m].parts[i].second;
      values.emplace_back("loss/" + std::string(results.front().parts[i].first),
                          sum / static_cast<double>(results.size()));
    }
    values.emplace_back("gradient_norm", norm);
    if (sums_.empty()) {
      sums_ = std::move(values);
    } else {
      for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].second += values[i].second;
    }
    ++summed_;
    learning_rate_ = learning_rate;
  }

  // Means since the last call; the place where a GPU is waited for.
  RunLog::Values averages() {
    if (bad_updates_.item<std::int64_t>() > 0) {
      throw NonFiniteError("train: " + std::to_string(bad_updates_.item<std::int64_t>()) +
                           " updates up to " + std::to_string(done_) +
                           " had a loss or gradient that is not finite, and were not made");
    }
    RunLog::Values values;
    for (const auto& [name, sum] : sums_) {
      values.emplace_back(name, sum.item<double>() / static_cast<double>(summed_));
    }
    values.emplace_back("learning_rate", learning_rate_);
    sums_.clear();
    summed_ = 0;
    return values;
  }

  // Losses on the dev split, of the moving average where there is one.
  RunLog::Values check_losses() {
    const auto rows = dataset_.indices("dev");
    if (rows.empty() || options_.split == "dev" || options_.split == "all") return {};
    const torch::NoGradGuard no_grad;
    model_->eval();
    if (ema_) ema_->swap();
    const auto batch_size = std::min(options_.batch_size, static_cast<std::int64_t>(rows.size()));
    const Loader loader(dataset_, rows,
                        {.batch_size = batch_size,
                         .image_size = model_->options().vit.image_size,
                         .shuffle = false,
                         .threads = 0});
    std::vector<std::pair<std::string, double>> values;
    for (std::int64_t k = 0; k < options_.check_batches; ++k) {
      auto engine = random_.engine("check", k);
      const Autocast autocast(options_.bf16, place_.device);
      const auto terms = rahf_loss(*model_, *codec_, to_device(loader.batch(k), place_.device),
                                   options_.loss, captions_.get(), engine);
      std::size_t i = 0;
      for (const auto& [name, part] : terms.parts()) {
        if (k == 0) values.emplace_back("dev/" + std::string(name), 0);
        values[i++].second += part.item<double>() / static_cast<double>(options_.check_batches);
      }
    }
    if (ema_) ema_->swap();
    model_->train();
    return values;
  }

  io::TensorMap state() const {
    auto tensors = optimiser_->state();
    std::size_t i = 0;
    for (const auto& item : model_->named_parameters()) {
      tensors["model/" + item.key()] = item.value().detach();
      if (ema_) tensors["ema/" + item.key()] = ema_->averages()[i];
      ++i;
    }
    return tensors;
  }

  void save_checkpoint() {
    auto tensors = state();
    for (auto& [name, tensor] : tensors) tensor = tensor.cpu().contiguous();
    checkpoints_.save(done_, tensors, {{"updates", std::to_string(done_)}});
  }

  void load_checkpoint(std::int64_t updates) {
    const auto saved = checkpoints_.load(updates);
    optimiser_->load_state(saved.tensors);
    const torch::NoGradGuard no_grad;
    for (auto& [name, own] : state()) {
      const auto found = saved.tensors.find(name);
      if (found == saved.tensors.end() || found->second.sizes() != own.sizes()) {
        throw CheckpointError((place_.run / "checkpoints").string() + ": " + name +
                              " is missing or of another shape");
      }
      auto target = own;
      target.copy_(found->second);
    }
    done_ = updates;
  }

  void save_model() {
    if (ema_) ema_->swap();
    save_rahf(place_.run / "model", *model_, *tokenizer_, place_.note,
              options_.half ? torch::kHalf : torch::kFloat);
    if (ema_) ema_->swap();
  }

  TrainOptions options_;
  const Dataset& dataset_;
  const TrainPlace& place_;
  Randomness random_;
  Checkpoints checkpoints_;
  std::vector<std::int64_t> rows_;
  std::unique_ptr<CaptionStream> captions_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::unique_ptr<PromptCodec> codec_;
  RahfModel model_{nullptr};
  std::unique_ptr<AdamW> optimiser_;
  std::unique_ptr<Ema> ema_;
  std::int64_t done_ = 0;  ///< Updates made.

  std::vector<std::pair<std::string, torch::Tensor>> sums_;
  std::int64_t summed_ = 0;
  double learning_rate_ = 0;
  torch::Tensor bad_updates_;
};

}  // namespace

void TrainOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("TrainOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  const auto positive = [&check](const char* name, std::int64_t value) {
    check(name, static_cast<double>(value), value > 0, "> 0");
  };
  positive("updates", updates);
  positive("batch_size", batch_size);
  positive("micro_batches", micro_batches);
  positive("parallel", parallel);
  positive("loader_threads", loader_threads);
  positive("log_every", log_every);
  positive("check_batches", check_batches);
  positive("save_every", save_every);
  positive("keep", keep);
  check("check_every", static_cast<double>(check_every), check_every >= 0, ">= 0");
  check("query_lr_scale", query_lr_scale, query_lr_scale >= 0, ">= 0");
  check("heatmap_lr_scale", heatmap_lr_scale, heatmap_lr_scale >= 0, ">= 0");
  check("clip_norm", clip_norm, clip_norm >= 0, ">= 0");
  check("ema", ema, ema >= 0 && ema < 1, "in [0, 1)");
  if (batch_size % micro_batches != 0) {
    throw ConfigError("TrainOptions.batch_size = " + std::to_string(batch_size) +
                      ", must be a multiple of micro_batches = " + std::to_string(micro_batches));
  }
  if (parallel > 1 && (model.vit.dropout > 0 || model.t5.dropout > 0)) {
    throw ConfigError(
        "TrainOptions.parallel > 1 needs model.vit.dropout and model.t5.dropout of 0: dropout "
        "draws "
        "from one generator");
  }
  model.validate();
  loss.validate();
  schedule.validate();
  adamw.validate();
  augment.validate();
}

void train_rahf(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place) {
  Trainer(options, dataset, place).run();
}

}  // namespace rahf::reward

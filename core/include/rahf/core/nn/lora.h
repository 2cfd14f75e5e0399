#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/optimised_parameter.h"
#include "rahf/core/options.h"
#include "rahf/core/random.h"

namespace rahf::nn {

struct Adapter;

struct LoraOptions {
  /// Which layers it is put on: those whose dotted name ends with one of these ("to_q",
  /// "to_out.0"), or is matched by one with a `*` ("*.attn2.*"). Each must match a layer.
  std::vector<std::string> targets = {"to_q", "to_k", "to_v", "to_out.0"};
  std::int64_t rank = 4;  ///< r; > 0.
  double alpha = 4;       ///< Its output is scaled by alpha / r; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("targets", self.targets, "ends or patterns of the names of the layers that it is put on");
    visit("rank", self.rank, "rank of the update of each weight; > 0");
    visit("alpha", self.alpha, "its output is scaled by alpha / rank; > 0");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "LoraOptions") const;
};

/// A low-rank adapter on nn::Linear and nn::Conv2d layers of a module (Hu et al. 2021,
/// arXiv 2106.09685): each such layer computes W x + weight alpha / r * B A x.
///
/// A module can carry several, each with a name and a weight. They are no parameters of the module:
/// it keeps its names, and nothing but parameters() trains them. Their factors have the element
/// type and the device of the layers' weights, and do not follow the module to another device.
///
/// A handle: it can be moved, and going out of scope leaves the adapter where it is. Not
/// thread-safe.
class Lora {
 public:
  /// Attaches a new adapter that changes nothing yet: A is normal of deviation 1 / r, B is zero.
  /// @throws ConfigError if a target matches no layer, or the name is taken.
  Lora(torch::nn::Module& module, std::string name, const LoraOptions& options,
       const Randomness& random);

  /// Attaches what a file holds for one part of a pipeline, in any of these layouts:
  ///
  ///     unet.LAYER.lora_A.weight                         PEFT's, as diffusers writes it
  ///     unet.LAYER.lora.down.weight                      older diffusers; text: lora_linear_layer
  ///     unet.ATTENTION.processor.to_q_lora.down.weight   the oldest diffusers
  ///     lora_unet_LAYER_WITH_UNDERSCORES.lora_down.weight  kohya's; text: lora_te_
  ///     base_model.model.LAYER.lora_A.weight             PEFT's own, with adapter_config.json
  ///
  /// Alpha is that of the layer (`.alpha`), of the metadata or of adapter_config.json, and without
  /// any the rank. Other parts of the pipeline are passed over.
  /// @param file  or a folder with pytorch_lora_weights.safetensors or adapter_model.safetensors
  /// @param part  the module's name in the pipeline: unet, transformer, text_encoder ...
  /// @throws CheckpointError listing by name all that does not fit the module; nothing is attached
  ///         then.
  static Lora load(torch::nn::Module& module, std::string name, const std::filesystem::path& file,
                   const std::string& part);

  const std::string& name() const { return name_; }
  /// Names of the layers that it is on, in the module's order.
  std::vector<std::string> layers() const;

  /// Factor on its output: 1 as trained, 0 off.
  void set_weight(double weight);
  double weight() const { return weight_; }

  /// A and B of each layer, as parameters to optimise: they require a gradient from here on.
  std::vector<OptimisedParameter> parameters();

  /// Adds weight alpha / r * B A to the layers' weights, so that it costs nothing any more.
  void merge();
  /// Takes it off again; the weights are as before, to rounding.
  void unmerge();
  /// Takes the adapter off the module.
  void detach();

  /// Writes pytorch_lora_weights.safetensors into a folder, in PEFT's layout with alpha in the
  /// metadata, as diffusers loads it.
  void save(const std::filesystem::path& folder, const std::string& part) const;

 private:
  struct Part {
    std::string layer;
    std::shared_ptr<torch::nn::Module> module;
    double alpha = 1;
  };
  explicit Lora(std::string name) : name_(std::move(name)) {}
  void attach(const Part& part, torch::Tensor down, torch::Tensor up);
  Adapter& adapter(const Part& part) const;
  void add_to_weights(double sign);

  std::string name_;
  double weight_ = 1;
  bool merged_ = false;
  std::vector<Part> parts_;
};

}  // namespace rahf::nn

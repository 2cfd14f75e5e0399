#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace rahf::train {

/// One part of a loss over some of an update's data (pictures, tokens, words).
struct LossTerm {
  std::string name;
  double weight = 1;
  torch::Tensor sum;  ///< [] f32, added up over what counts
  double count = 0;   ///< Of what was added up; >= 0.
};
using LossTerms = std::vector<LossTerm>;

/// What each term of an update adds up over, in all of its micro-batches.
using LossCounts = std::map<std::string, double>;

/// Tensors [] by name: the values of an update that its log shows.
using NamedValues = std::vector<std::pair<std::string, torch::Tensor>>;

/// The share of one micro-batch in the loss of its update:
///
///     sum over terms of weight * sum / counts[name]
///
/// Over all micro-batches these shares add up to the weighted means over the whole update, so that
/// the split into micro-batches changes nothing but rounding. A term whose count is 0 in the
/// whole update adds 0.
/// @return [] f32; undefined for no terms
/// @throws ConfigError if `counts` lacks a term.
torch::Tensor loss_share(const LossTerms& terms, const LossCounts& counts);

/// The mean of each term over an update, from the terms of its micro-batches (of equal names, in
/// equal order), behind the weighted sum of all, "loss": what the log shows. Without gradients.
NamedValues loss_values(const std::vector<LossTerms>& micro_batches);

}  // namespace rahf::train

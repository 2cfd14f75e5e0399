#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

namespace rahf::nn {

struct GreedyOptions {
  std::int64_t max_new_tokens = 20;  ///< > 0
  std::int64_t eos = 1;              ///< Ends a row.
  std::int64_t pad = 0;              ///< Fills a row behind its end.
  std::int64_t start = 0;            ///< What the decoder is given first.
};

/// Logits of the next token after the newest ones: [B, 1] i64 -> [B, 1, V]. Called once per token,
/// in order, so that it can keep what it computed before (a T5Cache, say).
using NextLogits = std::function<torch::Tensor(const torch::Tensor& newest)>;

/// The likeliest token after another, without a gradient, until every row has ended.
/// @param rows    B
/// @param device  where the decoder is
/// @return        [B, 1 + n] i64, n <= max_new_tokens: the start token, then what was written
/// @throws ConfigError if max_new_tokens is not > 0.
torch::Tensor greedy(const NextLogits& next_logits, std::int64_t rows, torch::Device device,
                     const GreedyOptions& options = {});

}  // namespace rahf::nn

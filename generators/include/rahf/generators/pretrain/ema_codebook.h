#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/io/safetensors.h"

namespace rahf::generators {

struct EmaCodebookOptions {
  double decay = 0.99;         ///< Of the moving averages; in [0, 1).
  double restart_below = 0.1;  ///< A code whose average use falls below so many latents an update
                               ///< moves to a latent of the batch; >= 0, 0 is never.
  std::int64_t lloyd_rounds = 8;  ///< Of k-means at the start; >= 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("decay", self.decay, "decay of the codes' moving averages; in [0, 1)");
    visit("restart_below", self.restart_below,
          "a code used by fewer latents an update, on average, moves to a latent of the batch; "
          ">= 0, 0 is never");
    visit("lloyd_rounds", self.lloyd_rounds, "rounds of k-means that start the codes; >= 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Moves the codes of a VQModel to the means of the latents that choose them (van den Oord et al.
/// 2017, arXiv 1711.00937, appendix A.1), instead of by gradients. For code j, n_j latents of an
/// update with sum m_j:
///
///     N_j = decay N_j + (1 - decay) n_j,   M_j = decay M_j + (1 - decay) m_j,   e_j = M_j / N_j
///
/// The start is k-means++: each next code is a latent drawn in proportion to its squared distance
/// from the codes so far, so that a background that most latents share gets few codes; then rounds
/// of k-means. Not thread-safe.
class EmaCodebook {
 public:
  /// @param codes  [V, E] f32, changed in place; must outlive this
  EmaCodebook(torch::Tensor codes, const EmaCodebookOptions& options);

  bool started() const { return started_; }
  /// @param latents  [N, E] f32 on the codes' device, N >= V
  /// @param batches  updates' worth of latents that these are
  /// @throws ShapeError for fewer latents than codes.
  void start(const torch::Tensor& latents, double batches, at::Generator generator);

  /// @param latents  [N, E] f32  @param ids  [N] i64, the code that each has chosen
  /// @param generator  on the CPU; draws the latents that codes restart from
  void update(const torch::Tensor& latents, const torch::Tensor& ids, at::Generator generator);

  /// "uses" [V], "sums" [V, E], "codes" [V, E], "started" []
  io::TensorMap state() const;
  void load_state(const io::TensorMap& state);

 private:
  torch::Tensor codes_, uses_, sums_;
  EmaCodebookOptions options_;
  bool started_ = false;
};

}  // namespace rahf::generators

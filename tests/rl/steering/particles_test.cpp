#include "rahf/rl/steering/particles.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::rl::systematic_resampling;

TEST_CASE("systematic_resampling chooses each particle floor or ceil of its share",
          "[rl][particles]") {
  const auto offset = GENERATE(0.0, 0.3, 0.999);
  const auto weights = torch::tensor({{0.5F, 0.25F, 0.25F, 0.F}, {0.1F, 0.1F, 0.1F, 0.7F}});
  const auto chosen = systematic_resampling(weights, torch::full({2}, offset));
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto times = static_cast<double>((chosen[row] == i).sum().item<std::int64_t>());
      const double share = 4 * weights[row][i].item<double>();
      CHECK(times >= std::floor(share + 1e-5));
      CHECK(times <= std::ceil(share - 1e-5));
    }
  }
}

TEST_CASE("systematic_resampling keeps equal particles as they are", "[rl][particles]") {
  const auto chosen = systematic_resampling(torch::ones({1, 5}), torch::tensor({0.5F}));
  CHECK(torch::equal(chosen[0], torch::arange(5)));
}

TEST_CASE("ParticleOptions refuse what is out of range", "[rl][particles]") {
  CHECK_THROWS_MATCHES((rahf::rl::ParticleOptions{.particles = 0}.validate()), rahf::ConfigError,
                       Says("ParticleOptions.particles = 0, must be > 0"));
}

#include "rahf/reward/weighting/repair_mask.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::weighting::repair_mask;

TEST_CASE("repair_mask grows marked places by the dilation", "[reward][repair_mask]") {
  auto heat = torch::zeros({1, 9, 9});
  heat[0][4][3] = 0.5;
  const auto mask = repair_mask(heat, {.threshold = 0.5, .dilation = 2, .least = 1});
  CHECK(mask.dtype() == torch::kBool);
  CHECK(mask.sum().item<std::int64_t>() == 25);
  CHECK(mask[0].slice(0, 2, 7).slice(1, 1, 6).all().item<bool>());
}

TEST_CASE("repair_mask leaves a picture with fewer marked pixels alone", "[reward][repair_mask]") {
  auto heat = torch::zeros({2, 8, 8});
  heat[0].slice(0, 0, 1).slice(1, 0, 3).fill_(1);
  heat[1].slice(0, 0, 1).slice(1, 0, 4).fill_(1);
  const auto mask = repair_mask(heat, {.threshold = 0.3, .dilation = 0, .least = 4});
  CHECK(mask[0].sum().item<std::int64_t>() == 0);
  CHECK(mask[1].sum().item<std::int64_t>() == 4);
}

TEST_CASE("repair_mask refuses a threshold that marks everything", "[reward][repair_mask]") {
  CHECK_THROWS_MATCHES(repair_mask(torch::zeros({1, 2, 2}), {.threshold = 0}), rahf::ConfigError,
                       Says("RepairMaskOptions.threshold = 0, must be in (0, 1]"));
}

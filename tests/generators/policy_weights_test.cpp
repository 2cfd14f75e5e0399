#include "rahf/generators/policy_weights.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Policy;
using rahf::generators::PolicyWeights;

TEST_CASE("PolicyWeights answers with the values of each policy and gives the trained ones back",
          "[generators][policy_weights]") {
  auto w = torch::tensor({1.F, 2.F}).requires_grad_();
  PolicyWeights weights({{.name = "w", .value = w}});
  {
    const torch::NoGradGuard no_grad;
    w.fill_(5);
  }
  {
    const auto scope = weights.use(Policy::kReference);
    CHECK(torch::equal(w.detach(), torch::tensor({1.F, 2.F})));
  }
  {
    const auto scope = weights.use(Policy::kOld);
    CHECK(torch::equal(w.detach(), torch::tensor({1.F, 2.F})));
  }
  weights.update_old(0.5);
  {
    const auto scope = weights.use(Policy::kOld);
    CHECK(torch::equal(w.detach(), torch::tensor({3.F, 3.5F})));
  }
  const auto scope = weights.use(Policy::kTrained);
  CHECK(torch::equal(w.detach(), torch::full({2}, 5.F)));
}

TEST_CASE("PolicyWeights leaves a recorded graph valid", "[generators][policy_weights]") {
  auto w = torch::tensor({3.F}).requires_grad_();
  PolicyWeights weights({{.name = "w", .value = w}});
  const auto loss = (w * w).sum();
  {
    const torch::NoGradGuard no_grad;
    weights.update_old(0);
    const auto scope = weights.use(Policy::kOld);
    CHECK((w * 2).item<float>() == 6);
  }
  loss.backward();
  CHECK(w.grad().item<float>() == 6);
}

TEST_CASE("PolicyWeights refuses a decay outside [0, 1]", "[generators][policy_weights]") {
  PolicyWeights weights({});
  CHECK_THROWS_MATCHES(weights.update_old(1.5), rahf::ConfigError, Says("decay must be in [0, 1]"));
}

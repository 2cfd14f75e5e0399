#include "rahf/core/train/loss_terms.h"

#include "rahf/core/error.h"

namespace rahf::train {

torch::Tensor loss_share(const LossTerms& terms, const LossCounts& counts) {
  torch::Tensor share;
  for (const auto& term : terms) {
    const auto count = counts.find(term.name);
    if (count == counts.end()) {
      throw ConfigError("loss_share: counts must name every term, got none for " + term.name);
    }
    const auto part = term.sum * (count->second > 0 ? term.weight / count->second : 0);
    share = share.defined() ? share + part : part;
  }
  return share;
}

NamedValues loss_values(const std::vector<LossTerms>& micro_batches) {
  if (micro_batches.empty() || micro_batches.front().empty()) return {};
  const torch::NoGradGuard no_grad;
  NamedValues values = {{"loss", {}}};
  for (std::size_t i = 0; i < micro_batches.front().size(); ++i) {
    torch::Tensor sum;
    double count = 0;
    for (const auto& terms : micro_batches) {
      sum = sum.defined() ? sum + terms[i].sum : terms[i].sum.detach();
      count += terms[i].count;
    }
    const auto& term = micro_batches.front()[i];
    const auto mean = sum * (count > 0 ? 1 / count : 0);
    auto& loss = values.front().second;
    loss = loss.defined() ? loss + mean * term.weight : mean * term.weight;
    values.emplace_back("loss/" + term.name, mean);
  }
  return values;
}

}  // namespace rahf::train

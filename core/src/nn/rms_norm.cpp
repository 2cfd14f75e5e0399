#include "rahf/core/nn/rms_norm.h"

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include <cmath>

#include "wide.h"

namespace rahf::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor composed(const Tensor& x, const Tensor& weight, double eps) {
  const auto wide =
      x.scalar_type() == torch::kDouble ? x : x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const auto normed = wide * torch::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  return weight * normed.to(weight.scalar_type());
}

/// y = x r w, r = 1 / sqrt(mean(x^2) + eps) for `rows` rows of `width`; r is kept.
RAHF_WIDE void forward_rows(const float* x, const float* weight, float* y, float* scale,
                            std::int64_t rows, std::int64_t width, float eps) {
  for (std::int64_t i = 0; i < rows; ++i, x += width, y += width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t c = 0; c < width; ++c) sum += x[c] * x[c];
    const float r = 1.0F / std::sqrt(sum / static_cast<float>(width) + eps);
    scale[i] = r;
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) y[c] = x[c] * r * weight[c];
  }
}

/// dx = r (w dy - x r^2 mean(w dy x)) and dw += dy x r for `rows` rows of `width`.
RAHF_WIDE void backward_rows(const float* x, const float* weight, const float* scale,
                             const float* dy, float* dx, float* dw, std::int64_t rows,
                             std::int64_t width) {
  for (std::int64_t i = 0; i < rows; ++i, x += width, dy += width, dx += width) {
    const float r = scale[i];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t c = 0; c < width; ++c) {
      const float product = dy[c] * x[c];
      dot += product * weight[c];
      dw[c] += product * r;
    }
    const float pull = dot * r * r / static_cast<float>(width);
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) dx[c] = r * (weight[c] * dy[c] - x[c] * pull);
  }
}

constexpr std::int64_t kBlock = 512;  ///< Rows whose part of dw is summed on its own.

struct FusedRmsNorm : torch::autograd::Function<FusedRmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight,
                        double eps) {
    const auto x = given.contiguous();
    const auto width = x.size(-1);
    const auto rows = x.numel() / width;
    auto y = torch::empty_like(x);
    auto scale = torch::empty({rows}, x.options());
    const auto *from = x.const_data_ptr<float>(), *factor = weight.const_data_ptr<float>();
    auto *to = y.data_ptr<float>(), *kept = scale.data_ptr<float>();
    at::parallel_for(0, rows, kBlock, [&](std::int64_t begin, std::int64_t end) {
      forward_rows(from + begin * width, factor, to + begin * width, kept + begin, end - begin,
                   width, static_cast<float>(eps));
    });
    context->save_for_backward({x, weight, scale});
    context->saved_data["eps"] = eps;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &scale = saved[2];
    if (at::GradMode::is_enabled()) {  // A gradient of the gradient is wanted.
      const auto eps = context->saved_data["eps"].toDouble();
      const auto again = torch::autograd::grad({composed(x, weight, eps)}, {x, weight}, gradients,
                                               /*retain_graph=*/true, /*create_graph=*/true,
                                               /*allow_unused=*/true);
      return {again[0], again[1], Tensor()};
    }
    const auto dy = gradients[0].contiguous();
    const auto width = x.size(-1);
    const auto rows = x.numel() / width;
    const auto blocks = (rows + kBlock - 1) / kBlock;
    auto dx = torch::empty_like(x);
    auto dw = torch::zeros({blocks, width}, x.options());
    const auto *from = x.const_data_ptr<float>(), *factor = weight.const_data_ptr<float>(),
               *kept = scale.const_data_ptr<float>(), *above = dy.const_data_ptr<float>();
    auto *below = dx.data_ptr<float>(), *sums = dw.data_ptr<float>();
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto block = begin; block < end; ++block) {
        const auto first = block * kBlock;
        backward_rows(from + first * width, factor, kept + first, above + first * width,
                      below + first * width, sums + block * width, std::min(kBlock, rows - first),
                      width);
      }
    });
    return {dx, dw.sum(0), Tensor()};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const bool fused = x.is_cpu() && x.scalar_type() == torch::kFloat &&
                     weight.scalar_type() == torch::kFloat && x.numel() > 0;
  return fused ? FusedRmsNorm::apply(x, weight.contiguous(), eps) : composed(x, weight, eps);
}

void RmsNormImpl::reset() { weight_ = register_parameter("weight", torch::ones({width_})); }

Tensor RmsNormImpl::forward(const Tensor& x) { return rms_norm(x, weight_, eps_); }

}  // namespace rahf::nn

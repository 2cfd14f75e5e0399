#include "rahf/core/nn/group_norm.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>
#include <torch/autograd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "rahf/core/error.h"
#include "wide.h"

namespace rahf::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor composed(const Tensor& x, const Tensor& weight, const Tensor& bias,
                const GroupNormOptions& options, bool silu) {
  auto z = at::group_norm(x, options.groups, weight, bias, options.eps);
  if (!silu) return z;
  return at::GradMode::is_enabled() ? torch::silu(z) : torch::silu_(z);
}

/// exp(x) to f32 rounding (the polynomial of Cephes' expf), in a form that loops vectorise.
inline float exponential(float x) {
  x = std::min(std::max(x, -87.0F), 88.0F);
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves no room for a fraction
  const float n = (x * 1.44269504F + kRound) - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float y = 1.9875691500e-4F;
  y = y * r + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  return y * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

// Below, x and the like are `pixels` rows of `width` channels, and arrays named otherwise hold one
// number per channel.

/// sum += sums of x - shift, squares += sums of its squares.
RAHF_WIDE void add_moments(const float* x, const float* shift, float* sum, float* squares,
                           std::int64_t pixels, std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      const float d = x[c] - shift[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
}

/// y = factor x + offset
RAHF_WIDE void scale_rows(const float* x, const float* factor, const float* offset, float* y,
                          std::int64_t pixels, std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width, y += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) y[c] = x[c] * factor[c] + offset[c];
  }
}

/// y = silu(factor x + offset)
RAHF_WIDE void silu_rows(const float* x, const float* factor, const float* offset, float* y,
                         std::int64_t pixels, std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width, y += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      const float z = x[c] * factor[c] + offset[c];
      y[c] = z / (1.0F + exponential(-z));
    }
  }
}

/// dz = dy silu'(factor x + offset)
RAHF_WIDE void silu_gradient_rows(const float* x, const float* factor, const float* offset,
                                  const float* dy, float* dz, std::int64_t pixels,
                                  std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width, dy += width, dz += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      const float z = x[c] * factor[c] + offset[c];
      const float s = 1.0F / (1.0F + exponential(-z));
      dz[c] = dy[c] * s * (1.0F + z * (1.0F - s));
    }
  }
}

/// sum += sums of dz, products += sums of dz (x - mean).
RAHF_WIDE void add_products(const float* x, const float* mean, const float* dz, float* sum,
                            float* products, std::int64_t pixels, std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width, dz += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      sum[c] += dz[c];
      products[c] += dz[c] * (x[c] - mean[c]);
    }
  }
}

/// dx = a dz + b x + offset
RAHF_WIDE void combine_rows(const float* x, const float* dz, const float* a, const float* b,
                            const float* offset, float* dx, std::int64_t pixels,
                            std::int64_t width) {
  for (std::int64_t i = 0; i < pixels; ++i, x += width, dz += width, dx += width) {
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) dx[c] = a[c] * dz[c] + b[c] * x[c] + offset[c];
  }
}

/// How B samples of P pixels are gone through: in blocks of pixels that threads share out, whose
/// sums in f32 are added up in f64.
struct Blocks {
  static constexpr std::int64_t kPixels = 256;
  std::int64_t samples, pixels, width;
  std::int64_t per_sample = (pixels + kPixels - 1) / kPixels;

  /// each(block, sample, first pixel of all, number of pixels)
  template <class Each>
  void for_each(const Each& each) const {
    at::parallel_for(0, samples * per_sample, 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto block = begin; block < end; ++block) {
        const auto sample = block / per_sample, first = block % per_sample * kPixels;
        each(block, sample, sample * pixels + first, std::min(kPixels, pixels - first));
      }
    });
  }
  /// Two sums per channel of each sample, by add(sample, first pixel, pixels, sum, other sum):
  /// [samples, 2, width].
  template <class Add>
  std::vector<double> sums(const Add& add) const {
    std::vector<float> parts(samples * per_sample * 2 * width, 0.0F);
    for_each([&](std::int64_t block, std::int64_t sample, std::int64_t first, std::int64_t count) {
      auto* part = parts.data() + block * 2 * width;
      add(sample, first, count, part, part + width);
    });
    std::vector<double> all(samples * 2 * width, 0.0);
    for (std::int64_t block = 0; block < samples * per_sample; ++block) {
      const auto* part = parts.data() + block * 2 * width;
      auto* to = all.data() + block / per_sample * 2 * width;
      for (std::int64_t c = 0; c < 2 * width; ++c) to[c] += part[c];
    }
    return all;
  }
};

struct FusedGroupNorm : torch::autograd::Function<FusedGroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, std::int64_t groups, double eps, bool silu) {
    const Blocks blocks{x.size(0), x.size(2) * x.size(3), x.size(1)};
    const auto width = blocks.width, size = width / groups;
    const auto* from = x.const_data_ptr<float>();
    const auto *w = weight.const_data_ptr<float>(), *b = bias.const_data_ptr<float>();

    // Moments about a sample's first pixel, so that a large mean costs no digits.
    const auto first_pixel = [&](std::int64_t sample) {
      return from + sample * blocks.pixels * width;
    };
    const auto sums = blocks.sums([&](std::int64_t sample, std::int64_t first, std::int64_t count,
                                      float* sum, float* squares) {
      add_moments(from + first * width, first_pixel(sample), sum, squares, count, width);
    });
    // Per sample and channel: mean and 1 / deviation of the group, factor and offset.
    auto kept = torch::empty({blocks.samples, 4, width}, x.options());
    auto* numbers = kept.data_ptr<float>();
    const auto count = static_cast<double>(blocks.pixels);
    for (std::int64_t sample = 0; sample < blocks.samples; ++sample) {
      const auto* sum = sums.data() + sample * 2 * width;
      auto* mean = numbers + sample * 4 * width;
      for (std::int64_t g = 0; g < groups; ++g) {
        double average = 0, variance = 0;
        const auto begin = g * size, end = begin + size;
        const auto channel_mean = [&](std::int64_t c) {
          return first_pixel(sample)[c] + sum[c] / count;
        };
        for (auto c = begin; c < end; ++c) average += channel_mean(c) / static_cast<double>(size);
        for (auto c = begin; c < end; ++c) {
          const double own = sum[c] / count, apart = channel_mean(c) - average;
          variance +=
              (sum[width + c] / count - own * own + apart * apart) / static_cast<double>(size);
        }
        const double inverse = 1 / std::sqrt(std::max(variance, 0.0) + eps);
        for (auto c = begin; c < end; ++c) {
          mean[c] = static_cast<float>(average);
          mean[width + c] = static_cast<float>(inverse);
          mean[2 * width + c] = static_cast<float>(inverse * w[c]);
          mean[3 * width + c] = static_cast<float>(b[c] - average * inverse * w[c]);
        }
      }
    }
    auto y = torch::empty_like(x);
    auto* to = y.data_ptr<float>();
    blocks.for_each([&](std::int64_t, std::int64_t sample, std::int64_t first, std::int64_t n) {
      const auto* factor = numbers + sample * 4 * width + 2 * width;
      (silu ? silu_rows : scale_rows)(from + first * width, factor, factor + width,
                                      to + first * width, n, width);
    });
    context->save_for_backward({x, weight, bias, kept});
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    context->saved_data["silu"] = silu;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &kept = saved[3];
    const auto groups = context->saved_data["groups"].toInt();
    const bool silu = context->saved_data["silu"].toBool();
    if (at::GradMode::is_enabled()) {  // A gradient of the gradient is wanted.
      const GroupNormOptions options{groups, x.size(1), context->saved_data["eps"].toDouble()};
      const auto again = torch::autograd::grad(
          {composed(x, weight, bias, options, silu)}, {x, weight, bias}, gradients,
          /*retain_graph=*/true, /*create_graph=*/true, /*allow_unused=*/true);
      return {again[0], again[1], again[2], Tensor(), Tensor(), Tensor()};
    }
    const auto dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const Blocks blocks{x.size(0), x.size(2) * x.size(3), x.size(1)};
    const auto width = blocks.width, size = width / groups;
    const auto *from = x.const_data_ptr<float>(), *above = dy.const_data_ptr<float>(),
               *numbers = kept.const_data_ptr<float>(), *w = weight.const_data_ptr<float>();
    auto dx = torch::empty_like(x);  // holds dz first
    auto* below = dx.data_ptr<float>();
    const auto* dz = silu ? below : above;
    const auto sums = blocks.sums([&](std::int64_t sample, std::int64_t first, std::int64_t count,
                                      float* sum, float* products) {
      const auto* mean = numbers + sample * 4 * width;
      const auto* factor = mean + 2 * width;
      const auto at = first * width;
      if (silu) {
        silu_gradient_rows(from + at, factor, factor + width, above + at, below + at, count, width);
      }
      add_products(from + at, mean, dz + at, sum, products, count, width);
    });
    // dx = factor dz - (x - mean) (r^3 mean(w dz (x - mean))) - r mean(w dz), r = 1 / deviation,
    // means over the group.
    std::vector<float> b(blocks.samples * width), offset(blocks.samples * width);
    auto dw = torch::zeros_like(weight), dbias = torch::zeros_like(bias);
    auto *to_dw = dw.data_ptr<float>(), *to_dbias = dbias.data_ptr<float>();
    const auto count = static_cast<double>(blocks.pixels * size);
    for (std::int64_t sample = 0; sample < blocks.samples; ++sample) {
      const auto* sum = sums.data() + sample * 2 * width;
      const auto* mean = numbers + sample * 4 * width;
      for (std::int64_t g = 0; g < groups; ++g) {
        const auto begin = g * size, end = begin + size;
        const double r = mean[width + begin];
        double plain = 0, product = 0;
        for (auto c = begin; c < end; ++c) {
          plain += sum[c] * w[c];
          product += sum[width + c] * w[c];
          to_dbias[c] += static_cast<float>(sum[c]);
          to_dw[c] += static_cast<float>(sum[width + c] * r);
        }
        const double pull = r * r * r * product / count;
        for (auto c = begin; c < end; ++c) {
          b[sample * width + c] = static_cast<float>(-pull);
          offset[sample * width + c] = static_cast<float>(mean[c] * pull - r * plain / count);
        }
      }
    }
    blocks.for_each([&](std::int64_t, std::int64_t sample, std::int64_t first, std::int64_t n) {
      combine_rows(from + first * width, dz + first * width, numbers + (sample * 4 + 2) * width,
                   b.data() + sample * width, offset.data() + sample * width, below + first * width,
                   n, width);
    });
    return {dx, dw, dbias, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

GroupNormImpl::GroupNormImpl(const GroupNormOptions& options) : options_(options) {
  if (!(options.groups > 0 && options.channels > 0 && options.channels % options.groups == 0)) {
    throw ConfigError("GroupNorm: groups must be > 0 and divide channels, got " +
                      std::to_string(options.groups) + " for " + std::to_string(options.channels));
  }
  reset();
}

void GroupNormImpl::reset() {
  weight_ = register_parameter("weight", torch::ones({options_.channels}));
  bias_ = register_parameter("bias", torch::zeros({options_.channels}));
}

namespace {

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const GroupNormOptions& options, bool silu) {
  const bool fused = x.is_cpu() && x.scalar_type() == torch::kFloat && x.dim() == 4 &&
                     weight.scalar_type() == torch::kFloat && x.numel() > 0;
  if (!fused) return composed(x, weight, bias, options, silu);
  // Ordered here, where autograd sees it: backward differentiates what it saves once more.
  return FusedGroupNorm::apply(x.contiguous(at::MemoryFormat::ChannelsLast), weight.contiguous(),
                               bias.contiguous(), options.groups, options.eps, silu);
}

}  // namespace

Tensor GroupNormImpl::forward(const Tensor& x) {
  return group_norm(x, weight_, bias_, options_, /*silu=*/false);
}

Tensor GroupNormImpl::forward_silu(const Tensor& x) {
  return group_norm(x, weight_, bias_, options_, /*silu=*/true);
}

}  // namespace rahf::nn

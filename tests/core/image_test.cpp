#include "rahf/core/image.h"

#include <limits>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Image;
using rahf::ShapeError;
using rahf::to_image;
using rahf::to_tensor;

TEST_CASE("to_tensor puts channels first and scales to [0, 1]", "[core][image]") {
  Image image(2, 3);
  image.at(1, 2)[0] = 255;
  image.at(0, 1)[2] = 51;
  const auto tensor = to_tensor(image);
  REQUIRE(tensor.sizes() == torch::IntArrayRef({3, 2, 3}));
  CHECK(tensor.scalar_type() == torch::kFloat);
  CHECK(tensor.is_contiguous());
  CHECK(tensor[0][1][2].item<float>() == 1.0F);
  CHECK(tensor[2][0][1].item<float>() == 0.2F);
  CHECK(tensor.sum().item<float>() == Approx(1.2F));
}

TEST_CASE("to_image gives back every level that to_tensor was given", "[core][image]") {
  Image image(16, 16);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<std::uint8_t>(i);
  }
  CHECK(to_image(to_tensor(image)) == image);
}

TEST_CASE("to_image rounds to nearest and clamps", "[core][image]") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const auto grey =
      torch::tensor({-0.5F, 0.4F / 255, 0.6F / 255, 2.0F, kNan, kInf, -kInf}).view({1, 1, 7});
  const auto image = to_image(grey);
  const int expected[] = {0, 0, 1, 255, 0, 255, 0};
  for (int x = 0; x < 7; ++x) {
    for (int c = 0; c < 3; ++c) CHECK(int(image.at(0, x)[c]) == expected[x]);
  }
}

TEST_CASE("to_image takes gradients, half precision and strided views", "[core][image]") {
  const auto picture = torch::rand({3, 4, 5});
  const auto expected = to_image(picture);
  CHECK(to_image(picture.clone().requires_grad_()) == expected);
  CHECK(to_image(picture.to(torch::kDouble)) == expected);
  CHECK(to_image(picture.transpose(1, 2).contiguous().transpose(1, 2)) == expected);
  CHECK(to_image(picture.to(torch::kBFloat16)).height == 4);
}

TEST_CASE("to_image refuses other shapes and types", "[core][image][errors]") {
  REQUIRE_THROWS_MATCHES(to_image(torch::rand({2, 4, 5})), ShapeError,
                         Says("to_image: picture must be [3, H, W], got [2, 4, 5]"));
  REQUIRE_THROWS_MATCHES(to_image(torch::rand({3, 4})), ShapeError, Says("got [3, 4]"));
  REQUIRE_THROWS_MATCHES(to_image({}), ShapeError, Says("got an undefined tensor"));
  REQUIRE_THROWS_MATCHES(to_image(torch::zeros({3, 4, 5}, torch::kByte)), ShapeError,
                         Says("must be of a float type"));
}

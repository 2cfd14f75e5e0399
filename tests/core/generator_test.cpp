#include "rahf/core/generator.h"

#include <utility>

#include "support/catch.h"

TEST_CASE("ReferenceScope restores once, from where it was moved to", "[core][generator]") {
  int restored = 0;
  {
    rahf::ReferenceScope first([&] { ++restored; });
    {
      const rahf::ReferenceScope second(std::move(first));
      CHECK(restored == 0);
    }
    CHECK(restored == 1);
  }
  CHECK(restored == 1);
}

#include <rahf/core/image.h>
#include <rahf/core/random.h>
#include <rahf/core/words.h>

#include <iostream>

int main() {
  const auto picture = rahf::to_image(torch::full({3, 2, 2}, 0.5));
  std::cout << picture.width << " x " << picture.height << ", "
            << rahf::split_words("a red circle").size() << " words\n";
}

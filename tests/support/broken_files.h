#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Every beginning of `whole` but the whole, and `whole` with each bit flipped in turn: what a
/// reader may meet, and must survive. Readers copy, so that a sanitizer sees the exact end.
template <class Read>
void for_each_prefix(std::string_view whole, const Read& read) {
  for (std::size_t size = 0; size < whole.size(); ++size) {
    read(std::string(whole.substr(0, size)), size);
  }
}

template <class Read>
void for_each_bit_flip(std::string_view whole, const Read& read) {
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string broken(whole);
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ 1 << bit % 8);
    read(broken, bit);
  }
}

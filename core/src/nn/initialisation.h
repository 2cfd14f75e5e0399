#pragma once

namespace rahf::nn {

/// False while a WithoutInitialisation lives on this thread.
bool initialising();

}  // namespace rahf::nn

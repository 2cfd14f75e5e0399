# make demo     make, learn and judge a small world of pictures; see demo/overview.png
# make test     build everything and run every test
# make check    what CI runs: test, format, headers alone, install and use, sanitizers
# make program  the program alone, as build/rahf
# make build    everything, tests too
# make assets   train the models in examples/assets anew (hours)
#
# Each installs what it lacks first (make setup) and repeats no step that is done.
#
#   make PRESET=release build            another preset: dev (default), asan, release
#   make TORCH_DIR=/opt/libtorch test    a LibTorch of your own, for example one with CUDA
#   make TORCH_INDEX_URL=... test        where pip finds torch, for example a build with CUDA
#   make PACKAGES= test                  leaves the system's packages alone

PRESET          ?= dev
PYTHON          ?= python3
JOBS            ?= $(shell nproc)
TORCH_VERSION   := 2.13.0
TORCH_INDEX_URL ?=
TORCH_DIR       ?=
CLANG_FORMAT    := 14.0.6
PACKAGES        := g++ cmake ninja-build ccache mold pkg-config python3-venv catch2 libbenchmark-dev \
                   libboost-program-options-dev libeigen3-dev libhdf5-dev libjpeg-dev libpng-dev \
                   libsentencepiece-dev libutf8proc-dev libwebp-dev nlohmann-json3-dev

BUILD  := build/$(PRESET)
WHEEL  := .venv/torch-$(TORCH_VERSION).done
FORMAT := .venv/bin/clang-format
torch   = $(or $(TORCH_DIR),$(wildcard .venv/lib/python3*/site-packages/torch))
say     = @echo "== $(1)"
link    = [ $(PRESET) = asan ] || ln -sfn $(PRESET)/examples/rahf build/rahf

SOURCES = $(shell find bench core examples generators reward rl tests -name '*.h' -o -name '*.cpp')

# Tools that pip had to install come first. Two tests at a time with one thread each beat the
# other way round.
export PATH   := $(CURDIR)/.venv/bin:$(PATH)
export PYTHON

.PHONY: demo test check check-format check-package check-files program build setup assets format clean FORCE
.DELETE_ON_ERROR:

demo: program
	@tools/demo.sh build/rahf demo

test: build
	$(call say,test)
	@ctest --preset $(PRESET) --parallel $(JOBS)

check: test check-format check-package check-files

check-format: $(FORMAT)
	$(call say,check the format and the code in the README)
	@$(FORMAT) --dry-run -Werror $(SOURCES)
	@tools/quote_readme.sh --check

# Against the installed package: a program that uses it, and every public header alone.
check-package: build
	$(call say,install; build a program against the package and every header alone)
	@rm -rf $(BUILD)/install && cmake --install $(BUILD) --prefix $(BUILD)/install >/dev/null
	@for project in consumer headers; do \
	  cmake --fresh -S tests/$$project -B $(BUILD)/$$project -G Ninja >/dev/null \
	    -DCMAKE_PREFIX_PATH="$(abspath $(BUILD)/install);$(abspath $(torch))" && \
	  cmake --build $(BUILD)/$$project --parallel $(JOBS) || exit 1; \
	done
	@$(BUILD)/consumer/app

# Address and undefined-behaviour sanitizers over the tests of what reads files.
check-files:
	@$(MAKE) --no-print-directory PRESET=asan test

build: $(BUILD)/build.ninja
	$(call say,build)
	@cmake --build --preset $(PRESET) --parallel $(JOBS)
	@$(link)

program: $(BUILD)/build.ninja
	$(call say,build the program)
	@cmake --build --preset $(PRESET) --parallel $(JOBS) --target rahf
	@$(link)

$(BUILD)/build.ninja: CMakePresets.json build/torch_dir
	$(call say,configure preset $(PRESET))
	@cmake --fresh --preset $(PRESET) -DCMAKE_PREFIX_PATH="$(abspath $(torch))"

# Rewritten only when another LibTorch is asked for; that is when to configure anew.
build/torch_dir: FORCE | setup
	@echo '$(torch)' | cmp -s - $@ || echo '$(torch)' >$@

setup: build/packages.done $(if $(TORCH_DIR),,$(WHEEL))

build/packages.done: Makefile tools/apt_install.sh tools/pip_install.sh
	$(call say,install missing packages)
	@tools/apt_install.sh $(PACKAGES)
	@mkdir -p build && grep cmake_minimum_required CMakeLists.txt >build/minimum.cmake
	@cmake -P build/minimum.cmake 2>/dev/null || tools/pip_install.sh 'cmake>=3.25,<4'
	@touch $@

# PyPI's own wheel for Linux wants gigabytes of CUDA and a CUDA toolkit to compile against; of
# the CPU's wheel only the libraries are used, so what it depends on in Python can stay away.
$(WHEEL): | build/packages.done
	$(call say,install torch $(TORCH_VERSION) in .venv)
ifeq ($(TORCH_INDEX_URL),)
	@tools/pip_install.sh --no-deps torch==$(TORCH_VERSION)+cpu 2>/dev/null || \
	  tools/pip_install.sh --no-deps torch==$(TORCH_VERSION) --index-url https://download.pytorch.org/whl/cpu
else
	@tools/pip_install.sh torch==$(TORCH_VERSION) --index-url $(TORCH_INDEX_URL)
endif
	@touch $@

assets: program
	@tools/make_generators.sh build/rahf
	@tools/make_assets.sh build/rahf

# One version of the formatter everywhere: they differ in small things.
$(FORMAT):
	@tools/pip_install.sh clang-format==$(CLANG_FORMAT)

format: $(FORMAT)
	@$(FORMAT) -i $(SOURCES)

clean:
	rm -rf build

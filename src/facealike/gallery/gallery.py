"""Enroll people, identify and verify faces among them, and forget them again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.probability import PRIOR
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import UsageError
from ..imaging.photo_digest import photo_digest, pixels_digest
from ..imaging.read import Source, check_several, source_name
from ..model_file.locate import read_model_file
from ..model_file.model_file import ModelFile
from ..types import Face
from ..verification.compare import CompareOptions
from .aggregation import DEFAULT_AGGREGATION, Aggregation, check_aggregation
from .base import GalleryStore, NoTemplateLeft
from .candidates import CandidateList
from .enroll_many import store_people, store_vectors
from .enroll_person import store_person
from .enrollment import BulkEnrollment, Enrollment
from .info import GalleryInfo
from .intake import IntakePolicy, check_face, corrected_photos, is_many, take_in, template_of
from .integrity import GalleryCheck, check_store, refuse_damaged
from .location import check_plain, compact_store, open_store
from .mate_probability import ENROLLED_PRIOR
from .people_list import PeopleList, is_parquet, read_people
from .person_verification import PersonVerification, Probe, verify_person
from .portable import ImportedGallery, export_store, import_store
from .resemblance import Screening
from .search import FPIR, SearchOptions, search
from .template import NORM_TOLERANCE, Template, person_name
from .vector_table import export_table, is_vector_table


class Gallery:
    """Enrolled people, in one file or on a server, for the embeddings of one model.

    Args:
        store: Where the templates are; a file serves the thread that opened it.
        model: The model that embeds photos, or its file, which is loaded on first use; None where no photo is
            embedded.
        aggregation: How several templates of a person give one score: that of the ``best``, of their
            ``mean``, of the mean ``weighted`` by quality, or ``best-or-mean``, the higher one.

    Raises:
        UsageError: The aggregation is unknown.

    Examples:
        >>> gallery = Gallery.open("people.db")
        >>> gallery.enroll("Ann", ["ann1.jpg", "ann2.jpg"])
        <Enrollment: Ann: 2 added>
        >>> gallery.identify("visitor.jpg").decision
        'match'
    """

    def __init__(
        self, store: GalleryStore, model: Model | ModelFile | None,
        aggregation: Aggregation = DEFAULT_AGGREGATION,
    ) -> None:  # fmt: skip
        check_aggregation(aggregation)
        self.store = store
        self.aggregation: Aggregation = aggregation
        self._model = model

    def __repr__(self) -> str:
        return f"<Gallery {self.store.name}>"

    @classmethod
    def open(
        cls, path: str | os.PathLike[str],
        model: Model | ModelFile | str | os.PathLike[str] | None = "default",
        aggregation: Aggregation = DEFAULT_AGGREGATION, key_file: str | os.PathLike[str] | None = None,
        search_device: str = "cpu",
    ) -> Gallery:  # fmt: skip
        """Open or create the gallery in a file or on a server.

        Args:
            path: The file; ``postgresql://user@host/database?gallery=name``, which needs
                ``facealike[postgres]``; or ``milvus://host:port/name``, which needs ``facealike[milvus]``.
            model: A model, its file or its name.  With None an existing gallery of any model opens, also a
                damaged one, to be listed, checked, exported and forgotten.
            aggregation: How several templates of a person give one score; see ``Gallery``.
            key_file: The key of an encrypted gallery; a new one becomes encrypted.  None takes the key in the
                variable ``FACEALIKE_GALLERY_KEY``, if any.
            search_device: ``cuda:N`` keeps a copy of the vectors on a GPU and searches there; it needs
                ``facealike[gpu]``, and the answers are the same.  The model has a device of its own.

        Raises:
            DataError: The file is no gallery, the key is wrong or missing, or templates are damaged.
            DeviceError: The search device is not there.
            MissingExtra: The client of the server, or torch for a search device, is not installed.
            MixedModels: It holds templates of another model.
            UsageError: A search device for an encrypted gallery or a server.
        """
        loaded = read_model_file(model) if isinstance(model, str | os.PathLike) else model
        store = open_store(path, None if loaded is None else loaded.id, key_file, search_device)
        if loaded is not None:
            refuse_damaged(store)
        return cls(store, loaded, aggregation)

    @property
    def model(self) -> Model:
        """The model that embeds photos; loaded on first use.

        Raises:
            UsageError: The gallery was opened without one.
        """
        if self._model is None:
            raise UsageError("this gallery was opened without a model; open it with one to embed photos")
        if isinstance(self._model, ModelFile):
            self._model = Model(self._model)
        return self._model

    def enroll(
        self, person: str, photos: Iterable[Source], face: FacePolicy = DEFAULT_FACE,
        min_quality: float = 0.0, metadata: Mapping[str, Any] | None = None, *,
        refuse_duplicates: bool = False,
    ) -> Enrollment:  # fmt: skip
        """Enroll a person with one or more photos; a photo counts once.

        Args:
            person: The name.
            photos: Each whatever ``read_image`` takes.
            face: Which face of a photo is meant; not ``all``.
            min_quality: Faces of a lower quality are refused.
            metadata: Kept with the person, as JSON.
            refuse_duplicates: Refuse a person who looks like another enrolled one, who is else only reported.

        Raises:
            UsageError: The name is empty, or the face policy is ``all``.
            NothingEnrolled: A DataError: nothing could be enrolled, so the person is not in the gallery.
        """
        check_several(photos, "enroll")
        person = person_name(person)
        policy = self._policy(face, min_quality, [person])
        listed = [(person, photo) for photo in photos]
        with closing(take_in(self.model, listed, policy, is_many(len(listed)))) as batches:
            taken = [one for batch in batches for one in batch]
        screening = self._screening(policy.corrected or {}, refuse_duplicates)
        return store_person(self.store, person, taken, screening, metadata)

    def enroll_faces(self, person: str, faces: Sequence[Probe], min_quality: float = 0.0) -> Enrollment:
        """Enroll a person with faces that are embedded already; see ``enroll``.

        Raises:
            NothingEnrolled: No face could be enrolled: each is poor, or a correction names its photo.
        """
        person, corrected = person_name(person), corrected_photos(self.store.corrections())
        taken = [template_of(person, face, min_quality, corrected) for face in faces]
        return store_person(self.store, person, taken, self._screening(corrected, False))

    def enroll_all(
        self, source: str | os.PathLike[str] | PeopleList, *, face: FacePolicy = DEFAULT_FACE,
        min_quality: float = 0.0, progress: Callable[[int, int], None] | None = None,
        refuse_duplicates: bool = False,
    ) -> BulkEnrollment:  # fmt: skip
        """Enroll many people; interrupted, the same call goes on where it was.

        Batches of photos are stored together.  Photos that are enrolled already are recognized by their
        pixels and not embedded again.  A photo that cannot be enrolled is listed with its reason.

        Args:
            source: A folder with one sub-folder a person, or a CSV or Parquet file with the columns person,
                photo and, where wanted, metadata (a JSON object); photos are relative to its folder.  Or a
                Parquet file of embeddings with the columns person, vector, and others; see
                ``facealike.gallery.vector_table``; they are screened only with ``refuse_duplicates``.
            face: Which face of a photo is meant; not ``all``.
            min_quality: Faces of a lower quality are refused.
            progress: Called with (done, total) after each batch.
            refuse_duplicates: As for ``enroll``; photos of the person that were stored before stay.

        Raises:
            UsageError: The face policy is ``all``.
            DataError: The folder, the list or the table cannot be read.
            MixedModels: The table holds embeddings of another model.
        """
        if not isinstance(source, PeopleList) and is_vector_table(Path(source)):
            width = self.store.dimensions() or self.model.embedder.dimensions
            screening = None
            if refuse_duplicates:
                screening = self._screening(corrected_photos(self.store.corrections()), True, True)
            return store_vectors(self.store, Path(source), width, min_quality, screening, progress)
        people = source if isinstance(source, PeopleList) else read_people(source)
        policy = self._policy(face, min_quality, {person for person, _ in people.photos})
        screening = self._screening(policy.corrected or {}, refuse_duplicates, is_many(len(people.photos)))
        return store_people(self.store, self.model, people, policy, screening, progress)

    def identify(
        self, photo: Source, top: int = 5, fpir: float = FPIR, face: FacePolicy = DEFAULT_FACE,
        *, prior: float = ENROLLED_PRIOR,
    ) -> CandidateList:  # fmt: skip
        """Return who a face may be.

        Args:
            photo: Whatever ``read_image`` takes.
            top: How many candidates.
            fpir: The target share of searches of people not enrolled that return a candidate.
            face: Which face of the photo is meant; not ``all``.
            prior: The share of searches whose person is enrolled; the probabilities depend on it, the
                decision does not.

        Raises:
            ImageError: The photo cannot be read.
            NoFaceFound: It shows no face.
            UsageError: An argument is out of range, or the face policy is ``all``.
        """
        options = SearchOptions(top, fpir, prior)
        return self.identify_face(self._probe(photo, face), options)

    def identify_face(self, probe: Probe, options: SearchOptions) -> CandidateList:
        """Return who an embedded face may be; corrections and the aggregation of the gallery apply."""
        options = replace(options, aggregation=self.aggregation)
        return self._candidates(probe.vector, options, self._excluded(probe), probe.photo, probe.face.face)

    def identify_embedding(
        self, embedding: NDArray[np.float32], top: int = 5, fpir: float = FPIR, name: str = "the embedding",
        *, prior: float = ENROLLED_PRIOR,
    ) -> CandidateList:  # fmt: skip
        """Return who a face may be that is embedded already, such as the template of a track in a video.

        Corrections do not apply: they are of photos.

        Args:
            embedding: A unit vector (d,) of the gallery's model; or the mean of those of several faces of
                one person as it is, not normalized: scores are put on the scale of single faces.
            top: How many candidates.
            fpir: The target share of searches of people not enrolled that return a candidate.
            name: What the result calls the face.
            prior: As for ``identify``.

        Raises:
            UsageError: An argument is out of range, or the embedding is zero or longer than 1.

        Examples:
            >>> (vector,) = model.embed(["visitor.jpg"])
            >>> gallery.identify_embedding(vector).decision
            'match'
        """
        options = SearchOptions(top, fpir, prior, self.aggregation)
        vector = np.asarray(embedding, np.float32)
        if vector.ndim != 1 or not 0 < float(np.linalg.norm(vector)) <= 1 + NORM_TOLERANCE:  # also a NaN
            raise UsageError(f"{name}: an embedding to search is a unit vector, or the mean of several")
        return self._candidates(vector, options, set(), name, None)

    def _candidates(
        self, vector: NDArray[np.float32], options: SearchOptions, without: set[str], name: str,
        face: Face | None,
    ) -> CandidateList:  # fmt: skip
        found = search(self.store, self.model.calibration, vector, options, without, name)
        return CandidateList(
            name, face, found.candidates, found.decision, found.threshold, found.not_enrolled, options.prior
        )

    def verify(
        self, photo: Source, person: str, threshold: float | None = None, face: FacePolicy = DEFAULT_FACE,
        *, fmr: float | None = None, prior: float = PRIOR,
    ) -> PersonVerification:  # fmt: skip
        """Return whether a photo shows an enrolled person: all their templates decide.

        Args:
            photo: Whatever ``read_image`` takes.
            person: The name.
            threshold: Cosine from which on the verdict is ``same``; None takes the model's.
            face: Which face of the photo is meant; not ``all``.
            fmr: Take the threshold for this target FMR, as for the best of all templates, instead.
            prior: Share of genuine claims: of the photos that do show the person they are compared with.

        Raises:
            DataError: No such person, or a person without a template.
            ImageError: The photo cannot be read.
            NoFaceFound: It shows no face.
            NotCalibrated: The model has no threshold, and none is given.
            UsageError: An argument is out of range, or the face policy is ``all``.
        """
        person = person_name(person)
        check_face(face)
        options = CompareOptions(threshold, face, prior=prior, fmr=fmr)
        self._templates(person)  # no face is looked for where there is nothing to compare it with
        return self.verify_face(self._probe(photo, face), person, options)

    def verify_face(self, probe: Probe, person: str, options: CompareOptions) -> PersonVerification:
        """Return whether a face that is embedded already is that of an enrolled person; see ``verify``."""
        person = person_name(person)
        templates = self._templates(person)
        excluded = person in self._excluded(probe)
        return verify_person(probe, person, templates, self.model, options, excluded, self.aggregation)

    def _templates(self, person: str) -> list[Template]:
        """Return the templates of a person, at least one."""
        templates = [one for _, one in self.store.templates(person)]
        if not templates:
            raise NoTemplateLeft(self.store.name, person)
        return templates

    def correct(self, photo: Source | Template, *, not_person: str) -> int:
        """State that a photo does not show a person; it never counts for that person again.

        ``identify`` leaves the person out for this photo, ``verify`` denies it, and it cannot be enrolled as
        that person; a template that was is removed for good.  Photos are recognized by their pixels.
        Forgetting the person removes the correction, too, since it names them.

        Args:
            photo: Whatever ``read_image`` takes, or a template.
            not_person: An enrolled person.

        Returns:
            How many templates were removed.

        Raises:
            DataError: No such person.
            ImageError: The photo cannot be read.
        """
        digest = photo.digest if isinstance(photo, Template) else photo_digest(photo).pixels
        return self.store.correct(person_name(not_person), digest)

    def forget(self, person: str) -> int:
        """Remove a person for good and return how many templates were removed.

        Raises:
            DataError: No person of this name is enrolled.
        """
        return self.store.forget(person_name(person))

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person."""
        return self.store.people()

    def info(self) -> GalleryInfo:
        """Return what the gallery holds: counts, dates, versions and size."""
        return GalleryInfo(**self.store.about(), aggregation=self.aggregation)

    def check(self) -> GalleryCheck:
        """Check that the file, its rows and the index are whole."""
        return check_store(self.store)

    def compact(self) -> int:
        """Rewrite the file without the space of removed people; return how many bytes that frees."""
        return compact_store(self.store)

    def export(self, path: str | os.PathLike[str], plain: bool = False) -> int:
        """Write people, templates and corrections to one portable file; return the number of templates.

        A name that ends with ``.parquet`` gets a table of the templates, without corrections.  An encrypted
        gallery is written only with ``plain``, since the file is not encrypted.

        Raises:
            DataError: The gallery is damaged, or the file cannot be written.
            MissingExtra: pyarrow is not installed, for a table.
            UsageError: The gallery is encrypted.
        """
        check_plain(self.store, plain)
        out = Path(path)
        return export_table(self.store, out) if is_parquet(out) else export_store(self.store, out)

    def import_(self, path: str | os.PathLike[str]) -> ImportedGallery:
        """Add what ``export`` has written, all of it or nothing; what is there already is skipped.

        Raises:
            DataError: The file cannot be read or is damaged.
            MixedModels: It holds embeddings of another model.
        """
        return import_store(self.store, Path(path))

    def close(self) -> None:
        """Close the file, or the connection."""
        self.store.close()

    def _policy(self, face: FacePolicy, min_quality: float, people: Collection[str]) -> IntakePolicy:
        corrected = corrected_photos(self.store.corrections())
        return IntakePolicy(face, min_quality, self.store.digests(people), corrected)

    def _screening(self, corrected: Mapping[str, Set[str]], refuse: bool, many: bool = False) -> Screening:
        return Screening(self.store, self.model.calibration, corrected, refuse, many)

    def _probe(self, photo: Source, face: FacePolicy) -> Probe:
        """Return the face of a photo, embedded; its digest only where corrections may name it."""
        check_face(face)
        start, name = time.perf_counter(), source_name(photo, "image")
        cropper = self.model.cropper()
        decoded = cropper.photo(photo, name)
        (crop,) = cropper.faces(decoded, face, quality=True)
        digest = pixels_digest(decoded.whole) if self.store.corrections() else ""
        return Probe(name, crop, self.model.embed_crops(crop.crop[None])[0], start, digest)

    def _excluded(self, probe: Probe) -> set[str]:
        """Return the people whom the photo does not show, by a correction."""
        return {one.person for one in self.store.corrections() if one.digest == probe.digest}

"""Names become folders: paths, names under the models folders, and hub ids, from the cache before the network."""

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from vipa_policy.errors import CheckpointError
from vipa_policy.model import hub


class FakeHub:
    """Stands in for huggingface_hub.snapshot_download, and remembers how it was asked."""

    def __init__(self, cached: Path | None = None, remote: Path | None = None) -> None:
        self.cached, self.remote = cached, remote
        self.asked: list[bool] = []
        self.patterns: list[str] = []

    def __call__(self, name, *, revision=None, allow_patterns=None, local_files_only=False):
        self.asked.append(local_files_only)
        self.patterns = list(allow_patterns)
        found = self.cached if local_files_only else self.remote
        if found is None:
            raise LocalEntryNotFoundError("nobody answers")
        return str(found)


def test_a_path_comes_first(tmp_path):
    assert hub.find_folder(str(tmp_path)) == tmp_path


def test_a_name_is_looked_for_under_the_models_folders(tmp_path, monkeypatch):
    (tmp_path / "named" / "vipa-x").mkdir(parents=True)
    (tmp_path / "models" / "vipa-y").mkdir(parents=True)
    monkeypatch.setenv("VIPA_MODELS", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path)
    assert hub.find_folder("vipa-x") == tmp_path / "named" / "vipa-x"
    assert hub.find_folder("vipa-y") == Path("models") / "vipa-y"


def test_the_cache_is_asked_before_the_network(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").touch()
    fake = FakeHub(cached=tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", fake)
    assert hub.find_folder("somebody/vipa") == tmp_path
    assert fake.asked == [True]
    fake = FakeHub(remote=tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", fake)
    assert hub.find_folder("somebody/vipa") == tmp_path
    assert fake.asked == [True, False]


def test_a_cache_without_all_weights_is_not_enough(tmp_path, monkeypatch):
    """The configuration was looked at, or the connection was cut between two shards."""
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "cached").mkdir()
    for name, content in (
        ("config.json", "{}"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "x", "b": "y"}}'),
    ):
        (tmp_path / "cached" / name).write_text(content)
        (tmp_path / "cached" / "x").touch()
        fake = FakeHub(cached=tmp_path / "cached", remote=tmp_path)
        monkeypatch.setattr(hub, "snapshot_download", fake)
        assert hub.find_folder("somebody/vipa") == tmp_path
        assert fake.asked == [True, False]
    fake.remote = tmp_path / "cached"
    with pytest.raises(CheckpointError, match="all weights of 'somebody/vipa'"):
        hub.find_folder("somebody/vipa")
    (tmp_path / "cached" / "y").touch()
    assert hub.find_folder("somebody/vipa") == tmp_path / "cached"


def test_no_pickle_is_ever_fetched(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").touch()
    fake = FakeHub(remote=tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", fake)
    hub.find_folder("somebody/vipa")
    assert not any(Path("pytorch_model.bin").match(pattern) for pattern in fake.patterns)
    assert any(Path("model-00001-of-00002.safetensors").match(pattern) for pattern in fake.patterns)


def test_a_hub_that_does_not_answer_is_told_in_words(monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", FakeHub())
    with pytest.raises(CheckpointError, match=r"somebody/vipa.*nobody answers.*give the folder's path"):
        hub.find_folder("somebody/vipa")


@pytest.mark.parametrize("name", ["nothing-there", "a/b/c", "../up/../there", ""])
def test_what_is_nowhere_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", FakeHub())
    if name == "":
        name = str(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"training/finetune\.py|hub"):
        hub.find_folder(name)

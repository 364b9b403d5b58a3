"""The releases: one table, which everything asks; and 3.3, which has a name of its own."""

import ast
import json
import pickle
import re
from pathlib import Path

import pytest

import chat_oracle
import llama3_tok
from llama3_tok import PROFILES, Llama3TokError, Tokenizer, profiles
from llama3_tok.profiles import chat_template, find, profile_of_template, releases

PACKAGE = Path(llama3_tok.__file__).parent
# The table as Python has it is no place to look at.
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "profiles.py"]
HI = [{"role": "user", "content": "hi"}]

# Where a name of a release stands and no release is meant.
OTHER_MEANINGS = {
    # Llama 3, whichever release, beside "llama2".
    "report/causes.py": {"llama3"},
    "report/comparing.py": {"llama3"},
    "report/comparison.py": {"llama3"},
    "report/figures.py": {"llama3"},
    "report/comparison_page.py": {"llama3"},
    "cli/compare.py": {"llama3"},
    # A folder of the package llama-models.
    "vocabulary.py": {"llama3"},
    # What an encoding of tiktoken is called in the process of a reference.
    "report/references.py": {"llama3"},
}


def names_of_releases(source):
    """The names of releases that code has as strings, documentation aside.

    "meta" is a word with other meanings: it counts where a profile or release is compared with it.
    """
    tree, found = ast.parse(source), set()
    documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}

    def strings(node):
        parts = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
        return {part.value for part in parts if part not in documentation} & set(PROFILES)

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and re.search("profile|release", ast.unparse(node)):
            found |= strings(node)
    return found | (strings(tree) - {"meta"})


def test_names_of_releases_are_seen():
    assert names_of_releases('a = {"llama3.2": 32}') == {"llama3.2"}
    assert names_of_releases('x("llama3", ["llama3.3"])') == {"llama3", "llama3.3"}
    assert names_of_releases('"meta" in (kind, self.tokenizer.profile)') == {"meta"}
    assert names_of_releases('release == "meta"') == {"meta"}
    assert names_of_releases('"""llama3"""\ndialect == "meta"\ndevice("meta")') == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_release_is_one_entry(path):
    """No code but the table knows a release by its name, so a new one needs no other change."""
    known = OTHER_MEANINGS.get(str(path.relative_to(PACKAGE)), set())
    assert names_of_releases(path.read_text(encoding="utf-8")) == known


def imports(path):
    """The modules of the package that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llama3_tok"):
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("llama3_tok")}
    return found


def test_the_table_is_below_everything():
    allowed = ("llama3_tok._core", "llama3_tok.errors")
    assert all(name.startswith(allowed) for name in imports(PACKAGE / "profiles.py"))


@pytest.mark.parametrize("path", sorted((PACKAGE / "folder").glob("*.py")), ids=lambda p: p.name)
def test_what_a_folder_says_needs_no_part_above_it(path):
    above = tuple(f"llama3_tok.{part}" for part in ("formats", "tokenizer", "chat", "text"))
    assert not [name for name in imports(path) if name.startswith(above)]


# The table


def test_the_names_are_those_of_the_table():
    assert [release.name for release in releases()] == PROFILES
    assert find("llama3.2") is find("llama3.2")
    with pytest.raises(
        Llama3TokError, match=r'unknown profile "llama9"; the profiles are llama3, '
    ):
        find("llama9")


@pytest.mark.parametrize("release", releases(), ids=lambda release: release.name)
def test_a_tokenizer_has_what_the_table_says(release):
    tokenizer = Tokenizer(profile=release.name)
    assert tokenizer.special_tokens == release.special_tokens(128000)
    assert tokenizer.stop_ids == [128000 + at for at in release.stops]
    roles = [tokenizer.bos_id, tokenizer.eos_id, tokenizer.eot_id, tokenizer.pad_id]
    indices = [release.bos, release.eos, release.eot, release.pad]
    assert roles == [None if at is None else 128000 + at for at in indices]
    assert tokenizer.encode_chat(HI) == tokenizer.encode_chat(HI, dialect=release.dialect)
    assert list(tokenizer.around.before) == [tokenizer.bos_id] * release.adds_bos
    assert list(tokenizer.around.after) == [tokenizer.eos_id] * release.adds_eos
    has_images = "<|image|>" in tokenizer.special_tokens
    assert release.saved_template.images == has_images


# As in the published `config.json` and `tokenizer_config.json` of the models.
@pytest.mark.parametrize(
    ("profile", "context", "factor", "tied"),
    [
        ("llama3", 8192, None, False),
        ("llama3.1", 131072, 8.0, False),
        ("llama3.2", 131072, 32.0, True),
        ("llama3.2-vision", 131072, 8.0, False),
        ("llama3.3", 131072, 8.0, False),
    ],
)
def test_models_are_as_published(profile, context, factor, tied):
    release = find(profile)
    assert (release.context, release.tied) == (context, tied)
    assert release.scaling == (None if factor is None else (factor, 1.0, 4.0, 8192))
    assert profiles.usual_config(profile)["model_max_length"] == context


@pytest.mark.parametrize("profile", ["llama3", "llama3.1"])
def test_a_published_template_tells_its_release(profile):
    for end in ("", "\n"):
        assert (
            profile_of_template(chat_oracle.template(profile).removesuffix("\n") + end) == profile
        )


def test_a_template_of_several_releases_is_the_one_that_is_asked_for_or_the_first():
    text = chat_template("llama3.3")
    assert text == chat_template("llama3.1")
    assert profile_of_template(text) == "llama3.1"
    assert profile_of_template(text, "llama3.3") == "llama3.3"
    assert profile_of_template(text, "llama3.2") == "llama3.1"
    assert profile_of_template(text, None) == "llama3.1"
    assert profile_of_template("{{ messages }}", "llama3.3") is None


# 3.3


def test_llama_3_3_is_3_1_under_its_own_name():
    ours, other = Tokenizer(profile="llama3.3"), Tokenizer(profile="llama3.1")
    assert ours.profile == "llama3.3"
    assert ours.special_tokens == other.special_tokens
    assert ours.stop_ids == other.stop_ids
    assert ours.chat_templates == other.chat_templates
    given = {"builtin_tools": ["brave_search"], "date": "1 Jan 2030"}
    assert ours.encode_chat(HI, **given) == other.encode_chat(HI, **given)
    assert ours.encode_chat(HI, dialect="meta") == other.encode_chat(HI, dialect="meta")
    # As 3.1 and 3.2, which have the same ids, too.
    assert ours != other != Tokenizer(profile="llama3.2")
    assert ours == Tokenizer(profile="llama3.3")
    assert pickle.loads(pickle.dumps(ours)) == ours


def test_a_folder_of_3_3_is_known_by_what_save_noted_and_by_nothing_else(tmp_path, releases):
    releases.copy(tmp_path, "llama3.3")
    again = Tokenizer(tmp_path)
    assert again == Tokenizer(profile="llama3.3")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config.pop("profile") == "llama3.3"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert Tokenizer(tmp_path).profile == "llama3.1"
    assert Tokenizer(tmp_path, profile="llama3.3").profile == "llama3.3"


def test_a_changed_folder_of_3_3_writes_its_conversations_under_its_own_name(tmp_path, releases):
    """What the folder has besides makes it no other release, also in what errors say."""
    releases.copy(tmp_path, "llama3.3")
    values = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    values["eos_token_id"] = [128009]
    (tmp_path / "generation_config.json").write_text(json.dumps(values), encoding="utf-8")
    tokenizer = Tokenizer(tmp_path)
    assert (tokenizer.profile, tokenizer.stop_ids) == ("llama3.3", [128009])
    assert tokenizer.encode_chat(HI) == Tokenizer(profile="llama3.3").encode_chat(HI)
    with pytest.raises(llama3_tok.ChatFormatError, match=r"not a role of profile llama3\.3"):
        tokenizer.encode_chat([{"role": "developer", "content": "hi"}])
    tokenizer.save(tmp_path / "again")
    assert Tokenizer(tmp_path / "again") == tokenizer


def test_3_3_with_one_more_token_writes_its_conversations_under_its_own_name(tmp_path, releases):
    plain = Tokenizer(profile="llama3.3")
    changed = plain.with_special_tokens({"<|extra|>": 128256})
    changed.save(tmp_path / "saved")
    releases.copy(tmp_path, "llama3.3")
    added = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    added["added_tokens"].append(added["added_tokens"][-1] | {"id": 128256, "content": "<|extra|>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(added), encoding="utf-8")
    for tokenizer in (changed, Tokenizer(tmp_path / "saved"), Tokenizer(tmp_path)):
        assert (tokenizer.profile, tokenizer.chat_profile) == ("folder", "llama3.3")
        assert tokenizer.special_tokens["<|extra|>"] == 128256
        assert tokenizer.encode_chat(HI) == plain.encode_chat(HI)
    other = Tokenizer(profile="llama3.2").with_special_tokens({"<|extra|>": 128256})
    assert other.chat_profile == "llama3.2"
    # What was noted counts only for a template that is that release's.
    template = "{{ messages[0].content }}"
    assert changed.with_special_tokens({}, chat_template=template).chat_profile is None


def test_a_template_tells_the_release_where_nothing_else_does(tmp_path, releases):
    releases.copy(tmp_path, "llama3.2")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["profile"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "config.json").unlink(missing_ok=True)
    assert Tokenizer(tmp_path).profile == "llama3.2"


def test_a_folder_that_lacks_a_token_of_the_template_is_not_written_as_its_release(
    tmp_path, releases
):
    releases.copy(tmp_path)
    assert Tokenizer(tmp_path).chat_profile == "llama3.1"
    path = tmp_path / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<|python_tag|>", "<|another_tag|>"), encoding="utf-8")
    tokenizer = Tokenizer(tmp_path)
    assert "<|python_tag|>" not in tokenizer.special_tokens
    assert tokenizer.chat_profile is None


def test_the_published_folder_of_3_3_is_3_1(tmp_path, releases):
    """Its files are those of 3.1, byte for byte where it matters."""
    releases.copy(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["profile"]
    config["chat_template"] = chat_oracle.template("llama3.3")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "chat_template.jinja").unlink()
    rope = {"rope_type": "llama3", "factor": 8.0}
    model = {"model_type": "llama", "rope_scaling": rope}
    (tmp_path / "config.json").write_text(json.dumps(model), encoding="utf-8")
    assert Tokenizer(tmp_path).profile == "llama3.1"


@pytest.mark.parametrize(
    ("rope", "profile"),
    [
        ({}, "llama3"),
        ({"rope_type": "dynamic", "factor": 8.0}, "llama3"),
        ({"rope_type": "llama3", "factor": 8.0}, "llama3.1"),
        ({"type": "llama3", "factor": 32}, "llama3.2"),
        ({"rope_type": "llama3", "factor": 16.0}, "llama3.1"),
        ({"rope_type": "llama3"}, "llama3.1"),
    ],
)
def test_a_rank_file_beside_a_model_is_of_the_release_that_its_frequencies_tell(
    tmp_path, rope, profile
):
    (tmp_path / "tokenizer.model").symlink_to(Tokenizer().vocabulary)
    model = {"model_type": "llama", "rope_scaling": rope}
    (tmp_path / "config.json").write_text(json.dumps(model), encoding="utf-8")
    assert Tokenizer(tmp_path).profile == profile

"""Settings name what exists, and a variable that is nearly a setting's is not passed over in silence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.settings import VARIABLES, Settings, misspellings
from meter_pipeline.config.variables import SettingsError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("METER_CONFIG", ".", "METER_CONFIG='.' is a folder"),
        ("METER_DBT_PROJECT", "nowhere", "METER_DBT_PROJECT='nowhere' is not a folder that exists"),
        ("METER_DBT_PROJECT", ".", "METER_DBT_PROJECT='.' has no dbt_project.yml"),
        ("METER_MAX_RESULTS_ASSETS", "many", "METER_MAX_RESULTS_ASSETS='many' is not a whole number from 0 to"),
        ("METER_SCHEDULES_PER_RUN", "0", "METER_SCHEDULES_PER_RUN='0' is not a whole number from 1 to"),
        ("METER_PUBLISH_TAGS", "[]", "METER_PUBLISH_TAGS is not a JSON object"),
        (
            "METER_LAKE_CACHE",
            "off",
            "METER_LAKE_CACHE='off' is unknown: give local, or none to read a lake on S3 in place",
        ),
        ("METER_TABLES", "delta", "METER_TABLES='delta' is no format of tables: give iceberg or none"),
        ("METER_PUBLISH_EVERY", "often", "METER_PUBLISH_EVERY='often' is not a duration: give one such as 15m"),
    ],
)
def test_a_setting_that_names_what_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({name: value}, dotenv=None)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_setting_that_names_what_is_there_is_taken_and_a_default_may_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_env({}, dotenv=None).config is None
    (tmp_path / "mine.yaml").write_text("")
    (tmp_path / "dbt_project.yml").write_text("")
    settings = Settings.from_env({"METER_CONFIG": "mine.yaml", "METER_DBT_PROJECT": "."}, dotenv=None)
    assert (settings.config, settings.dbt_project) == (tmp_path / "mine.yaml", tmp_path)


@given(st.sampled_from(VARIABLES), st.data())
def test_a_setting_with_a_letter_missing_twice_there_or_two_swapped_is_a_misspelling(
    name: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(7, len(name) - 1))
    wrong = data.draw(
        st.sampled_from(
            [
                name[:place] + name[place + 1 :],
                name[:place] + name[place] + name[place:],
                name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :],
                name.lower(),
            ]
        )
    )
    said = misspellings({wrong: "x"}, dotenv=None)
    assert said == ([] if wrong in VARIABLES else [f"nothing reads {wrong}: did you mean {name}?"])


def test_the_settings_themselves_and_names_of_other_things_are_no_misspellings() -> None:
    others = (
        "METER_KEY_OF_TEAM_A",
        "METER_API_KEY_2",
        "METER_API_KEY_TEAM_B",
        "METER_TEAM",
        "PATH",
        "METER_DBT_TARGET",
    )
    assert misspellings(dict.fromkeys((*VARIABLES, *others), "x"), dotenv=None) == []
    assert misspellings({"METER_API_KY": ""}, dotenv=None) == []


def test_a_misspelling_in_the_env_file_is_found_and_its_value_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("METER_API_KY=sk_live_canary\n")
    assert misspellings({}, dotenv=path) == ["nothing reads METER_API_KY: did you mean METER_API_KEY?"]


def test_dagster_warns_of_a_misspelling_and_refuses_a_file_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from meter_pipeline import build_meter_defs

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    monkeypatch.setenv("METER_DATA_DIRR", "elsewhere")
    with caplog.at_level(logging.WARNING):
        build_meter_defs()
    assert "nothing reads METER_DATA_DIRR: did you mean METER_DATA_DIR?" in caplog.text
    monkeypatch.setenv("METER_CONFIG", "nowhere.yaml")
    with caplog.at_level(logging.WARNING):
        build_meter_defs()
    assert f"{tmp_path / 'nowhere.yaml'} does not exist" in caplog.text

"""The language of each line, as py3langid tells it, and what the lines of each language have.

A line is told by itself if it has letters enough, and only if the library is rather sure: program
text, tables and lists of names are "not told". A line with few letters, as the last of a paragraph,
goes with the line above it, unless a blank one is between them. A line is told in parts if it is
very long. The sums do not depend on the parts in which a text comes.

Of the library's languages only those of ISO 639-1 are asked for: a few lines tell hardly more than
that, and a regional relative (Wu, Egyptian Arabic) is then counted with its standard language.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from llama3_tok.extras import require
from llama3_tok.lazy import np, npt
from llama3_tok.report.counts import Counts

__all__ = ["NOT_TOLD", "Languages", "name"]

NOT_TOLD = "und"
"""The code of lines whose language is not told; ISO 639-2 has it for "undetermined"."""

ENOUGH = 20
"""Bytes of letters that a line must have to be told by itself: twenty Latin ones, seven Chinese."""
SURE = 0.5
"""The least confidence that is believed, of the library's from 0 to 1."""
LONGEST = 4096
"""Bytes of a line that are told together."""

_NO_LANGUAGE = "zxx"
_NAMES = """
af Afrikaans,am Amharic,an Aragonese,ar Arabic,as Assamese,az Azerbaijani,ba Bashkir,be Belarusian,
bg Bulgarian,bn Bengali,br Breton,bs Bosnian,ca Catalan,cs Czech,cy Welsh,da Danish,de German,
dz Dzongkha,el Greek,en English,eo Esperanto,es Spanish,et Estonian,eu Basque,fa Persian,fi Finnish,
fo Faroese,fr French,fy Western Frisian,ga Irish,gd Scottish Gaelic,gl Galician,gu Gujarati,gv Manx,
ha Hausa,he Hebrew,hi Hindi,hr Croatian,ht Haitian Creole,hu Hungarian,hy Armenian,id Indonesian,
ig Igbo,is Icelandic,it Italian,ja Japanese,jv Javanese,ka Georgian,kk Kazakh,km Khmer,kn Kannada,
ko Korean,ku Kurdish,kw Cornish,ky Kyrgyz,la Latin,lb Luxembourgish,lg Ganda,ln Lingala,lo Lao,
lt Lithuanian,lv Latvian,mg Malagasy,mi Maori,mk Macedonian,ml Malayalam,mn Mongolian,mr Marathi,
ms Malay,mt Maltese,my Burmese,nb Norwegian Bokmål,ne Nepali,nl Dutch,nn Norwegian Nynorsk,
no Norwegian,ny Chichewa,oc Occitan,om Oromo,or Odia,pa Punjabi,pl Polish,ps Pashto,pt Portuguese,
qu Quechua,ro Romanian,ru Russian,rw Kinyarwanda,sa Sanskrit,sd Sindhi,se Northern Sami,si Sinhala,
sk Slovak,sl Slovenian,sn Shona,so Somali,sq Albanian,sr Serbian,st Southern Sotho,su Sundanese,
sv Swedish,sw Swahili,ta Tamil,te Telugu,tg Tajik,th Thai,ti Tigrinya,tk Turkmen,tl Tagalog,
tr Turkish,tt Tatar,ug Uyghur,uk Ukrainian,ur Urdu,uz Uzbek,vi Vietnamese,vo Volapük,wa Walloon,
xh Xhosa,yi Yiddish,yo Yoruba,zh Chinese,zu Zulu
"""
_BY_CODE = dict(
    entry.strip().split(" ", 1) for entry in _NAMES.replace("\n", "").split(",") if entry
)


def name(code: str) -> str:
    """What a language is called in English."""
    return "not told" if code == NOT_TOLD else _BY_CODE.get(code, code)


class Languages:
    """Tells lines, and adds up what they have. Raises MissingExtra."""

    def __init__(self) -> None:
        langid = require("py3langid", "report").langid
        self._model = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        codes = [code for code in self._model.labels if len(code) == 2]
        self._model.set_languages([*codes, _NO_LANGUAGE])
        self._above = NOT_TOLD
        # The line that has begun, which may go on: its bytes, how many are letters, what it has.
        self._line, self._letters, self._has = b"", 0, Counts()
        self._sums: defaultdict[str, Counts] = defaultdict(Counts)

    def add(
        self,
        texts: Sequence[bytes],
        is_letter: "npt.NDArray[np.bool_]",
        characters: "npt.NDArray[np.int64]",
        llama3: "npt.NDArray[np.int64]",
        llama2: "npt.NDArray[np.int64]",
        *,
        continued: bool,
    ) -> None:
        """Takes texts in; `continued` if the first goes on with the last one.

        Of their bytes one after the other: which are of letters, and where characters and the
        tokens of each tokenizer begin. What has begun in a line is the line's.
        """
        import numpy as np

        ends: list[int] = []
        begins_text: list[bool] = []
        for number, text in enumerate(texts):
            goes_on = continued and not number
            base = ends[-1] if ends else 0
            found = [base + end for end in _ends(text, len(self._line) if goes_on else 0)]
            ends += found
            begins_text += [not goes_on, *[False] * (len(found) - 1)]
        if not ends:
            return
        borders = np.array(ends)
        numbers = [np.diff(borders, prepend=0)]
        for places in (characters, llama3, llama2, np.flatnonzero(is_letter)):
            # What begins where the text ends, as tokens without bytes do, is of its last line.
            lines = np.minimum(np.searchsorted(borders, places, side="right"), len(ends) - 1)
            numbers.append(np.bincount(lines, minlength=len(ends)))
        whole, start = b"".join(texts), 0
        for end, begins, (*has, letters) in zip(
            ends, begins_text, np.stack(numbers, 1).tolist(), strict=True
        ):
            if begins:
                self._end_text()
            self._line += whole[start:end]
            self._letters += letters
            self._has += Counts(*has)
            if self._line.endswith(b"\n") or len(self._line) == LONGEST:
                self._end_line()
            start = end

    def sums(self) -> dict[str, Counts]:
        """What the lines of each language have, by code; the last text has ended."""
        self._end_text()
        return dict(self._sums)

    def _end_text(self) -> None:
        self._end_line()
        self._above = NOT_TOLD

    def _end_line(self) -> None:
        if self._letters >= ENOUGH:
            text = self._line.strip().decode("utf-8", "replace")
            code, confidence = self._model.classify(text)
            is_told = confidence >= SURE and code != _NO_LANGUAGE
            self._above = code if is_told else NOT_TOLD
        if self._has != Counts():
            self._sums[self._above] += self._has
        if not self._line.strip():
            self._above = NOT_TOLD
        self._line, self._letters, self._has = b"", 0, Counts()


def _ends(text: bytes, begun: int) -> Iterator[int]:
    """Where lines end, and the parts of long ones; `begun` bytes of the first came before."""
    at, room = 0, LONGEST - begun
    while True:
        newline = text.find(b"\n", at, at + room)
        at = min(at + room, len(text)) if newline < 0 else newline + 1
        yield at
        if at == len(text):
            return
        room = LONGEST

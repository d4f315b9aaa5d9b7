"""Words that cells have for yes, no and the months, in the languages that most files are in."""

from __future__ import annotations

_YES = "true t yes y on 1 wahr ja j vrai oui vero sì si sí verdadero verdadeiro sim tak prawda да истина 是 真 はい"
_NO = "false f no n off 0 falsch nein faux non falso não nao nie fałsz нет ложь 否 假 いいえ"
YES = frozenset(_YES.split())
NO = frozenset(_NO.split())

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner jän janvier janv enero ene gennaio gen janeiro januari stycznia января январь",
            "february feb februar februari février févr fév febrero febbraio fevereiro fev lutego февраля февраль",
            "march mar märz mär mrz mars marzo março maart mrt marca marzec марта март",
            "april apr avril avr abril abr aprile kwietnia апреля апрель",
            "may mai mayo maggio mag maio mei maja мая май",
            "june jun juni juin junio giugno giu junho czerwca июня июнь",
            "july jul juli juil juillet julio luglio lug julho lipca июля июль",
            "august aug août agosto ago augustus sierpnia августа август",
            "september sep sept septembre septiembre settembre set setembro września сентября сентябрь",
            "october oct oktober okt octobre octubre ottobre ott outubro out października октября октябрь",
            "november nov novembre noviembre novembro listopada ноября ноябрь",
            "december dec dezember dez décembre déc diciembre dic dicembre dezembro grudnia декабря декабрь",
        ),
        1,
    )
    for name in names.split()
}

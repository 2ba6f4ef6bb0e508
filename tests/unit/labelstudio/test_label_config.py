"""Labeling configs as people write them, and as they should not."""

from __future__ import annotations

import pytest

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError
from handover.labelstudio.label_config import (
    MAX_CONFIG_CHARS,
    ParsedConfig,
    parse_label_config,
    without_declaration,
)

TEXT = '<Text name="text" value="$text"/>'
CHOICES = '<Choices name="stage" toName="text"><Choice value="Bid"/><Choice value="Ask"/></Choices>'
LABELS = '<Labels name="terms" toName="text"><Label value="PRICE"/><Label value="GRADE"/></Labels>'


def choices(attribute: str) -> str:
    return CHOICES.replace("<Choices", f"<Choices {attribute}")


def labels(attribute: str) -> str:
    return LABELS.replace("<Labels", f"<Labels {attribute}")


def parse(*tags: str) -> ParsedConfig:
    return parse_label_config(f"<View>{''.join(tags)}</View>")


def only_aspect(*tags: str) -> Aspect:
    parsed = parse(*tags)
    assert parsed.set_aside == ()
    (aspect,) = parsed.aspects
    return aspect


def only_reason(*tags: str) -> str:
    parsed = parse(*tags)
    assert parsed.aspects == ()
    (aside,) = parsed.set_aside
    return aside.reason


def test_label_config_choices_become_an_aspect_of_kind_choice() -> None:
    assert only_aspect(CHOICES, TEXT) == Aspect(
        name="stage",
        to_name="text",
        kind=Kind.CHOICE,
        labels=(Label("Bid"), Label("Ask")),
        text_field="text",
        question="",
    )


def test_label_config_labels_become_an_aspect_of_kind_entities() -> None:
    aspect = only_aspect(LABELS, '<Text name="text" value="$message"/>')
    assert (aspect.kind, aspect.label_names, aspect.text_field) == (
        Kind.ENTITIES,
        ("PRICE", "GRADE"),
        "message",
    )


@pytest.mark.parametrize("choice", ["single", "single-radio"])
def test_label_config_both_spellings_of_single_are_a_choice(choice: str) -> None:
    tag = choices(f'choice="{choice}"')
    assert only_aspect(tag, TEXT).kind is Kind.CHOICE


def test_label_config_alias_is_the_stored_name_and_hint_is_kept() -> None:
    aspect = only_aspect(
        '<Choices name="c" toName="text"><Choice value="A bid" alias="Bid" hint=" someone buys "/>'
        '<Choice value="An ask" alias=""/></Choices>',
        TEXT,
    )
    assert aspect.labels == (Label("Bid", "someone buys"), Label("An ask"))


def test_label_config_names_may_be_in_any_script() -> None:
    aspect = only_aspect(
        '<Labels name="größe" toName="текст"><Label value="Цена"/><Label value="💰 €"/></Labels>',
        '<Text name="текст" value="$text"/>',
    )
    assert (aspect.name, aspect.to_name, aspect.label_names) == ("größe", "текст", ("Цена", "💰 €"))


def test_label_config_reads_through_comments_styles_filters_and_views() -> None:
    parsed = parse_label_config(
        '<!-- {"data": {"text": "sample"}} -->\n'
        f"<View><Style>.x {{color: red}}</Style><!-- note --><View className='x'>"
        '<Filter name="filter" toName="terms" hotkey="shift+f"/>'
        f"{LABELS}</View><Collapse><Panel value='more'>{CHOICES}</Panel></Collapse>{TEXT}</View>"
    )
    assert [aspect.name for aspect in parsed.aspects] == ["terms", "stage"]
    assert parsed.set_aside == ()


@pytest.mark.parametrize(
    "prefix", ["", "\ufeff", '<?xml version="1.0" encoding="UTF-8"?>\n', "\n <?xml version='1.0'?>"]
)
def test_label_config_reads_files_with_declaration_or_byte_order_mark(prefix: str) -> None:
    body = f"<View>{CHOICES}{TEXT}</View>"
    assert without_declaration(prefix + body) == body
    assert len(parse_label_config(prefix + body).aspects) == 1


@pytest.mark.parametrize(
    ("tags", "questions"),
    [
        (['<Header value="Which stage?"/>', CHOICES], ["Which stage?"]),
        (
            ['<Header value="Market messages"/>', '<Header value=" Which stage? "/>', CHOICES],
            ["Which stage?"],
        ),
        (["<Header>Which stage?</Header>", CHOICES], ["Which stage?"]),
        (['<Header value="Which stage?"/>', '<Header value="$title"/>', CHOICES], ["Which stage?"]),
        ([CHOICES, '<Header value="Which terms?"/>', LABELS], ["", "Which terms?"]),
        (['<Header value="Which stage?"/>', CHOICES, LABELS], ["Which stage?", ""]),
        ([CHOICES.replace("<Choice ", '<Header value="A group"/><Choice ', 1), LABELS], ["", ""]),
        (
            ['<Header size="4" value="Which?"/>', '<Header size="6" value="Press a key"/>', CHOICES],
            ["Which?"],
        ),
        (['<Header size="6" value="Press a key"/>', CHOICES, LABELS], ["Press a key", ""]),
        ([CHOICES], [""]),
    ],
)
def test_label_config_question_is_the_nearest_header_that_no_other_tag_claimed(
    tags: list[str], questions: list[str]
) -> None:
    assert [aspect.question for aspect in parse(*tags, TEXT).aspects] == questions


def test_label_config_other_tags_are_set_aside_and_the_rest_works() -> None:
    parsed = parse(CHOICES, '<Rating name="stars" toName="text"/>', LABELS, TEXT)
    assert [aspect.name for aspect in parsed.aspects] == ["stage", "terms"]
    (aside,) = parsed.set_aside
    assert (aside.name, aside.tag) == ("stars", "Rating")
    assert aside.reason == (
        "Tag <Rating name='stars'> is not supported. Supported: <Choices>, <Choices choice='multiple'>, <Labels>, "
        "<Labels choice='multiple'>, <Relations> on <Text>."
    )


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (choices('choice="multiple"'), Kind.CHOICES),
        (choices('choice="multiple" layout="select"'), Kind.CHOICES),
        ('<Choices name="c" toName="text" choice="multiple"><Choice value="Urgent"/></Choices>', Kind.CHOICES),
        (labels('choice="multiple" maxUsages="3" allowEmpty="true"'), Kind.SPANS),
        (labels('choice="single"'), Kind.ENTITIES),
    ],
)
def test_label_config_choice_decides_the_kind(tag: str, kind: Kind) -> None:
    assert only_aspect(tag, TEXT).kind is kind


@pytest.mark.parametrize(
    ("attributes", "required"),
    [
        ('choice="multiple" required="true"', True),
        ('choice="multiple" required="false"', False),
        ('choice="multiple"', False),
        ('required="true"', False),
    ],
)
def test_label_config_required_matters_where_none_of_them_is_an_answer(attributes: str, required: bool) -> None:
    assert only_aspect(choices(attributes), TEXT).required is required


def test_label_config_value_behind_an_alias_describes_the_label() -> None:
    aspect = only_aspect(
        '<Labels name="l" toName="text"><Label value="A person, real or not" alias="PER"/>'
        '<Label value="Org" alias="ORG" hint="a company"/><Label value="LOC" alias="LOC"/><Label value=" X "/>'
        "</Labels>",
        TEXT,
    )
    assert aspect.labels == (
        Label("PER", "A person, real or not"),
        Label("ORG", "a company"),
        Label("LOC"),
        Label(" X "),
    )


RELATIONS = '<Relations><Relation value="of" hint="belongs to"/><Relation value="at"/></Relations>'


@pytest.mark.parametrize("tags", [(RELATIONS, LABELS, TEXT), (TEXT, LABELS, RELATIONS)])
def test_label_config_relations_connect_the_regions_of_the_only_labels_tag(tags: tuple[str, ...]) -> None:
    parsed = parse('<Header value="How?"/>', *tags)
    relations = next(aspect for aspect in parsed.aspects if aspect.kind is Kind.RELATIONS)
    question = "How?" if tags[0] == RELATIONS else ""
    assert relations == Aspect(
        name="relations",
        to_name="text",
        kind=Kind.RELATIONS,
        labels=(Label("of", "belongs to"), Label("at")),
        text_field="text",
        question=question,
        span_labels=(Label("PRICE"), Label("GRADE")),
        spans_from="terms",
    )
    assert relations.span_label_names == ("PRICE", "GRADE")
    assert (len(parsed.aspects), parsed.set_aside) == (2, ())


def test_label_config_relations_may_have_a_name_and_connect_overlapping_spans() -> None:
    tag = RELATIONS.replace("<Relations", '<Relations name="deals" choice="single"')
    parsed = parse(labels('choice="multiple"'), tag, CHOICES, TEXT)
    assert [(a.name, a.kind) for a in parsed.aspects] == [
        ("terms", Kind.SPANS),
        ("deals", Kind.RELATIONS),
        ("stage", Kind.CHOICE),
    ]


def test_label_config_relations_have_the_value_as_name_and_each_once() -> None:
    children = '<Relation value="of" alias="x"/><Relation/><Relation value="of"/><Relation value="$at"/>'
    assert parse(f"<Relations>{children}</Relations>", LABELS, TEXT).aspects[0].label_names == ("of", "$at")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([RELATIONS], "Tag <Relations> has no <Labels> tag on a <Text> that can be used"),
        ([RELATIONS, CHOICES], "no <Labels> tag on a <Text> that can be used"),
        ([RELATIONS, labels('perRegion="true"')], "no <Labels> tag on a <Text> that can be used"),
        (
            [RELATIONS, LABELS, LABELS.replace("terms", "other")],
            "could connect the regions of 2 <Labels> tags ('terms', 'other'), expected one",
        ),
        ([RELATIONS, RELATIONS, LABELS], "is one of 2, and Label Studio uses only one"),
        (["<Relations/>", LABELS], "has no <Relation> with a value"),
        ([RELATIONS, LABELS.replace("terms", "relations")], "would be called 'relations', which is the name of"),
        ([RELATIONS.replace("<Relations", '<Relations name="terms"'), LABELS], "would be called 'terms'"),
    ],
)  # fmt: skip
def test_label_config_relations_that_could_mean_more_than_one_thing_are_set_aside(
    tags: list[str], expected: str
) -> None:
    parsed = parse(*tags, TEXT)
    assert all(aspect.kind is not Kind.RELATIONS for aspect in parsed.aspects)
    reasons = [aside.reason for aside in parsed.set_aside if aside.tag == "Relations"]
    assert reasons
    assert all(expected in reason for reason in reasons)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (choices('choice="many"'), "with choice='many' is not supported"),
        (labels('choice="many"'), "with choice='many' is not supported"),
        ('<TextArea name="why" toName="text"/>', "Tag <TextArea name='why'> is not supported"),
        (CHOICES.replace('name="stage" ', ""), "Tag <Choices> has no name"),
        (CHOICES.replace('toName="text"', ""), "has no toName"),
        (CHOICES.replace("toName", "toname"), "another case"),
        (CHOICES + CHOICES, "shares its name with 1 other tag"),
        (choices('perRegion="true"'), "(perRegion)"),
        (choices('perItem="true"'), "(perItem)"),
        (choices('whenTagName="terms"'), "whentagname on <Choices name='stage'>"),
        (f'<View visibleWhen="region-selected">{CHOICES}</View>', "(visiblewhen on <View>)"),
        (f'<Repeater on="$items">{CHOICES}</Repeater>', "repeated by a <Repeater>"),
        (choices('value="$options"'), "takes its labels from elsewhere ($options)"),
        (labels('apiUrl="http://x.example"'), "takes its labels from elsewhere (apiUrl)"),
        ('<Choices name="c" toName="text"></Choices>', "has no <Choice> with a value. Add at least 2"),
        ('<Labels name="l" toName="text"><Label/></Labels>', "has no <Label> with a value. Add at least 1"),
        ('<Choices name="c" toName="text"><Choice value="Yes"/></Choices>', "has only the choice 'Yes'"),
        (CHOICES.replace('"Ask"/>', '"Ask"><Choice value="Firm"/></Choice>'), "has nested choices"),
        (choices('allowNested="true"'), "allowNested='true'"),
        (choices('choice="multiple" allowNested="true"'), "allowNested='true'"),
        (choices('choice="multiple" value="$options"'), "takes its labels from elsewhere ($options)"),
        (labels('choice="multiple" whenTagName="stage"'), "whentagname on <Labels name='terms'>"),
        (CHOICES.replace('"Ask"/>', '"$100"/>'), "has the choice '$100', read as a task field"),
        (CHOICES.replace('"Ask"/>', '"Ask">Offer</Choice>'), "has another text inside label 'Ask'"),
        (CHOICES.replace('"text"', '"text,other"'), "toName='text,other', expected the name of exactly one"),
        (CHOICES.replace('"text"', '"nothing"'), "toName='nothing'"),
    ],
)  # fmt: skip
def test_label_config_what_cannot_be_used_is_set_aside_with_a_reason(tag: str, expected: str) -> None:
    reasons = {aside.reason for aside in parse(tag, TEXT).set_aside}
    assert parse(tag, TEXT).aspects == ()
    assert len(reasons) == 1
    assert expected in reasons.pop()


def test_label_config_choice_that_looks_like_a_field_is_fine_with_an_alias() -> None:
    tag = CHOICES.replace('"Ask"/>', '"$100" alias="hundred"/>')
    assert only_aspect(tag, TEXT).label_names == ("Bid", "hundred")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ('<HyperText name="text" value="$html"/>', "labels <HyperText name='text'>, supported is <Text>"),
        ('<Paragraphs name="text" value="$talk"/>', "labels <Paragraphs name='text'>, supported is <Text>"),
        ('<Image name="text" value="$image"/>', "labels <Image name='text'>, supported is <Text> only"),
        ('<Text name="text" value="$url" valueType="url"/>', "(valueType)"),
        ('<Text name="text" value="$text" encoding="base64"/>', "(encoding)"),
        ('<Text name="text" value="$text" resolver="csv"/>', "(resolver)"),
        ('<Text name="text" value="Title: $text"/>', "with value='Title: $text', expected one task field"),
        ('<Text name="text" value=" $text"/>', "expected one task field"),
        ('<Text name="text" value="$my-text"/>', "expected one task field"),
        ('<Text name="text" value="$items[0]"/>', "expected one task field"),
        ('<Text name="text" value="fixed"/>', "expected one task field"),
        ('<Text name="text"/>', "expected the name of exactly one <Text>"),
        (TEXT + TEXT, "several tags have that name"),
    ],
)  # fmt: skip
def test_label_config_object_that_is_not_plain_text_is_named(target: str, expected: str) -> None:
    assert expected in only_reason(CHOICES, target)


def test_label_config_nested_field_is_supported() -> None:
    assert only_aspect(CHOICES, '<Text name="text" value="$mail.body"/>').text_field == "mail.body"


def test_label_config_aspects_may_label_different_texts() -> None:
    parsed = parse(
        CHOICES,
        TEXT,
        LABELS.replace('toName="text"', 'toName="second"'),
        '<Text name="second" value="$second_text"/>',
    )
    assert [(a.to_name, a.text_field) for a in parsed.aspects] == [
        ("text", "text"),
        ("second", "second_text"),
    ]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("", "not valid XML"),
        ("no xml", "not valid XML"),
        (f"<View>{CHOICES}", "not valid XML"),
        (f"<View>{CHOICES}</View><View/>", "not valid XML"),
        ("<View><Header value='&copy;'/></View>", "not valid XML"),
        ("<View>\ud83d</View>", "not valid XML"),
        ("<View>" * 3000 + "</View>" * 3000, "not valid XML"),
        (f"<View>{CHOICES}<?odd name='a' toName='b'?>{TEXT}</View>", "not valid XML"),
        ("<View></View>", "has no control tag"),
        (f"<View>{TEXT}</View>", "has no control tag"),
    ],
)
def test_label_config_that_cannot_be_read_raises_one_sentence(xml: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        parse_label_config(xml)
    assert "\n" not in str(caught.value)


def billion_laughs() -> str:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE v [<!ENTITY l0 "lol">{entities}]><View><Header value="&l9;"/>{CHOICES}{TEXT}</View>'


@pytest.mark.parametrize(
    "xml",
    [
        billion_laughs(),
        f'<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View><Header>&x;</Header>{CHOICES}{TEXT}</View>',
        f'<!DOCTYPE v SYSTEM "http://x.example/v.dtd"><View>{CHOICES}{TEXT}</View>',
        f'<!DOCTYPE v [<!ENTITY a "Ask">]><View>{CHOICES.replace("Ask", "&a;")}{TEXT}</View>',
    ],
)
def test_label_config_with_entities_is_refused_unread(xml: str) -> None:
    with pytest.raises(ConfigError, match="DOCTYPE"):
        parse_label_config(xml)


def test_label_config_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match=f"limit is {MAX_CONFIG_CHARS}"):
        parse_label_config(f"<View>{CHOICES}{TEXT}{' ' * MAX_CONFIG_CHARS}</View>")


def test_label_config_long_names_do_not_flood_the_reason() -> None:
    reason = only_reason(f'<Rating name="{"x" * 5000}" toName="text"/>', TEXT)
    assert len(reason) < 250


def test_label_config_reads_thousands_of_labels_quickly() -> None:
    tags = "".join(f'<Label value="L{i}"/>' for i in range(2000))
    aspect = only_aspect(f'<Labels name="l" toName="text">{tags}</Labels>', TEXT)
    assert len(aspect.labels) == 2000

"""Small XLSX files, written by hand: the sheet is given as the XML of its rows."""

import io
from zipfile import ZIP_DEFLATED, ZipFile

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Recipients" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
    '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
}


def text(value: str) -> str:
    """A cell with text."""
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


def number(value: float) -> str:
    """A cell with a number."""
    return f"<c><v>{value}</v></c>"


def day(serial: int) -> str:
    """A cell with a date, as days since the end of 1899."""
    return f'<c s="1"><v>{serial}</v></c>'


def formula(source: str, result: str) -> str:
    """A cell whose text was calculated."""
    return f'<c t="str"><f>{source}</f><v>{result}</v></c>'


def workbook(*rows: str, more: str = "") -> bytes:
    """A file whose only sheet has these rows, each the XML of its cells.

    Args:
        more: XML of rows that name their own numbers.
    """
    found = [f'<row r="{place}">{cells}</row>' for place, cells in enumerate(rows, start=1)]
    data = f"<sheetData>{''.join(found)}{more}</sheetData>"
    sheet = f'<worksheet xmlns="{_MAIN}">{data}</worksheet>'
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in (*_PARTS.items(), ("xl/worksheets/sheet1.xml", sheet)):
            archive.writestr(name, content)
    return buffer.getvalue()

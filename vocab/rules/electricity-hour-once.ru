# An hour of electricity is counted once, though the grid company and a reader in the fuse box both tell of it.
#
# 1. A reading of an hour or less belongs to the UTC hour in which it starts. Readings of exactly an hour come first,
#    measured ones before estimated ones, then shorter readings; of equals, the grant whose IRI sorts first. The other
#    readings of that hour are not counted.
# 2. Of several hourly readings of one meter in the grant that counts, the one whose IRI sorts first is counted.
# 3. A reading of more than an hour takes the place of all hours, and of all shorter readings, that lie inside it.
#
# Expects: one named graph per grant, holding the activities as vocab.kinds.Kinds.quads gives them (times in UTC).
# Adds, in the same graphs: <activity> tv:countedBy <what counts instead>.
PREFIX tv: <https://w3id.org/tvilling#>
PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>

INSERT { GRAPH ?grant { ?activity tv:hour ?hour ; tv:rank ?rank ; tv:meterName ?meter ; tv:source ?source } }
WHERE {
  GRAPH ?grant {
    ?activity a tv:ElectricityReading ; prov:startedAtTime ?start ; prov:endedAtTime ?end .
    OPTIONAL { ?activity tv:quality ?quality }
    OPTIONAL { ?activity tv:meter ?named }
  }
  BIND (?end - ?start AS ?length)
  FILTER (?length <= "PT1H"^^xsd:dayTimeDuration)
  BIND (IRI(CONCAT("urn:tvilling:hour:", SUBSTR(STR(?start), 1, 13))) AS ?hour)
  BIND (IF(?length < "PT1H"^^xsd:dayTimeDuration, 3, IF(COALESCE(?quality, "measured") = "measured", 1, 2)) AS ?rank)
  BIND (COALESCE(?named, "") AS ?meter)
  BIND (CONCAT(STR(?rank), " ", STR(?grant)) AS ?source)
} ;

INSERT { ?hour tv:countingSource ?first }
WHERE {
  SELECT ?hour (MIN(?source) AS ?first) WHERE { GRAPH ?grant { ?activity tv:hour ?hour ; tv:source ?source } } GROUP BY ?hour
} ;

INSERT { GRAPH ?grant { ?activity tv:countedBy ?hour } }
WHERE {
  GRAPH ?grant { ?activity tv:hour ?hour ; tv:source ?source }
  ?hour tv:countingSource ?first .
  FILTER (?source != ?first)
} ;

INSERT { GRAPH ?grant { ?activity tv:countedBy ?name } }
WHERE {
  { SELECT ?grant ?hour ?rank ?meter (MIN(STR(?reading)) AS ?first)
    WHERE { GRAPH ?grant { ?reading tv:hour ?hour ; tv:rank ?rank ; tv:meterName ?meter } FILTER (?rank < 3) }
    GROUP BY ?grant ?hour ?rank ?meter
    HAVING (COUNT(?reading) > 1) }
  GRAPH ?grant { ?activity tv:hour ?hour ; tv:rank ?rank ; tv:meterName ?meter }
  FILTER (STR(?activity) != ?first)
  BIND (IRI(?first) AS ?name)
} ;

INSERT { GRAPH ?grant { ?activity tv:longFrom ?start ; tv:longTo ?end ; tv:rank ?rank ; tv:meterName ?meter ; tv:source ?source } }
WHERE {
  GRAPH ?grant {
    ?activity a tv:ElectricityReading ; prov:startedAtTime ?start ; prov:endedAtTime ?end .
    OPTIONAL { ?activity tv:quality ?quality }
    OPTIONAL { ?activity tv:meter ?named }
  }
  FILTER (?end - ?start > "PT1H"^^xsd:dayTimeDuration)
  BIND (IF(COALESCE(?quality, "measured") = "measured", 1, 2) AS ?rank)
  BIND (COALESCE(?named, "") AS ?meter)
  BIND (CONCAT(STR(?rank), " ", STR(?grant)) AS ?source)
} ;

INSERT { GRAPH ?grant { ?activity tv:countedBy ?long } }
WHERE {
  GRAPH ?other { ?long tv:longFrom ?from ; tv:longTo ?to ; tv:source ?otherSource ; tv:meterName ?otherMeter }
  GRAPH ?grant { ?activity tv:longFrom ?start ; tv:longTo ?end ; tv:source ?source ; tv:meterName ?meter }
  FILTER (
    ?from <= ?start && ?end <= ?to
    && ( ?from < ?start || ?end < ?to || ?otherSource < ?source
         || ( ?otherSource = ?source && ?otherMeter = ?meter && STR(?long) < STR(?activity) ) )
  )
} ;

INSERT { GRAPH ?grant { ?activity tv:countedBy ?long } }
WHERE {
  GRAPH ?other { ?long tv:longFrom ?from ; tv:longTo ?to }
  GRAPH ?grant { ?activity tv:hour ?hour }
  BIND (xsd:dateTime(CONCAT(SUBSTR(STR(?hour), 19), ":00:00Z")) AS ?start)
  FILTER (?from <= ?start && ?start + "PT1H"^^xsd:dayTimeDuration <= ?to)
}

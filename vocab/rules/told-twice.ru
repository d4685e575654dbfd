# Receipts, trips and steps that two sources tell of are counted once, and payments find what they may have paid for.
# The rules in words: counting-rules.ttl. twin_agent/once.py comes to the same by another road.
#
# Expects: one named graph per grant, holding the activities as vocab.kinds.Kinds.quads gives them (times in UTC), and
# in the default graph vocab.queries.local_clock(…) over the activities' years.
# Adds: <activity> tv:countedBy <what counts instead> ; tv:notCountedBecause <the rule>, in the activity's graph; and, for
# queries/pairs-of-payment-and-bill.rq, tv:ofPayment, tv:ofBill and tv:pairKey in the default graph.
PREFIX tv: <https://w3id.org/tvilling#>
PREFIX r: <https://w3id.org/tvilling/counting-rule/>
PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX schema: <https://schema.org/>
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>

INSERT { GRAPH ?grant { ?activity tv:localDay ?day } }
WHERE {
  GRAPH ?grant { ?activity a ?class ; prov:startedAtTime ?start }
  FILTER (?class IN (tv:GroceryLine, tv:Payment, tv:TransitTrip, tv:StepCount, tv:DrivingDay))
  ?clock tv:clockFrom ?from ; tv:clockUntil ?until ; tv:clockOffset ?offset .
  FILTER (?from <= ?start && ?start < ?until)
  BIND (xsd:date(SUBSTR(STR(ADJUST(?start, ?offset)), 1, 10)) AS ?day)
} ;

# The same receipt from two grants: the one whose name sorts first.
INSERT { GRAPH ?grant { ?line tv:bill ?bill ; tv:billDay ?day } }
WHERE {
  GRAPH ?grant { ?line a tv:GroceryLine ; tv:receipt ?receipt ; tv:localDay ?day }
  BIND (IRI(CONCAT("urn:tvilling:bill:", SUBSTR(STR(?grant), 20), ":receipt:", STR(?day), ":", ENCODE_FOR_URI(?receipt))) AS ?bill)
} ;

INSERT { GRAPH ?grant { ?line tv:countedBy ?firstBill ; tv:notCountedBecause r:receipt-told-twice } }
WHERE {
  { SELECT ?receipt ?day (MIN(STR(?each)) AS ?first)
    WHERE { GRAPH ?each { ?any a tv:GroceryLine ; tv:receipt ?receipt ; tv:localDay ?day } }
    GROUP BY ?receipt ?day }
  GRAPH ?grant { ?line a tv:GroceryLine ; tv:receipt ?receipt ; tv:localDay ?day }
  FILTER (STR(?grant) != ?first)
  BIND (IRI(CONCAT("urn:tvilling:bill:", SUBSTR(?first, 20), ":receipt:", STR(?day), ":", ENCODE_FOR_URI(?receipt))) AS ?firstBill)
} ;

# What a receipt or a ticket came to.
INSERT { GRAPH ?grant { ?bill tv:billHundredths ?hundredths ; tv:billWord ?word ; tv:billDay ?day } }
WHERE {
  { SELECT ?grant ?bill ?day (MAX(?itsWord) AS ?word) (SUM(?line100) AS ?lines) (MAX(?total100) AS ?total)
    WHERE {
      GRAPH ?grant {
        ?line tv:bill ?bill ; tv:billDay ?day .
        OPTIONAL { ?line tv:store ?store }
        OPTIONAL { ?line tv:amountNok ?amount }
        OPTIONAL { ?line tv:receiptTotalNok ?whole }
        FILTER NOT EXISTS { ?line tv:countedBy ?another }
      }
      BIND (LCASE(STRBEFORE(CONCAT(COALESCE(?store, ""), " "), " ")) AS ?itsWord)
      BIND (COALESCE(ROUND(?amount * 100), 0.0e0) AS ?line100)
      BIND (COALESCE(ROUND(?whole * 100), -1.0e0) AS ?total100)
    }
    GROUP BY ?grant ?bill ?day }
  BIND (IF(?total >= 0, ?total, ?lines) AS ?hundredths)
  FILTER (?hundredths > 0 && ?word != "")
} ;

INSERT { GRAPH ?grant { ?bill tv:billHundredths ?hundredths ; tv:billWord "" ; tv:billDay ?day } }
WHERE {
  { SELECT ?grant ?ticket ?day (SUM(?trip100) AS ?hundredths)
    WHERE {
      GRAPH ?grant { ?trip a tv:TransitTrip ; tv:ticket ?ticket ; tv:localDay ?day . OPTIONAL { ?trip tv:amountNok ?amount } }
      BIND (COALESCE(ROUND(?amount * 100), 0.0e0) AS ?trip100)
    }
    GROUP BY ?grant ?ticket ?day }
  FILTER (?hundredths > 0)
  BIND (IRI(CONCAT("urn:tvilling:bill:", SUBSTR(STR(?grant), 20), ":ticket:", STR(?day), ":", ENCODE_FOR_URI(?ticket))) AS ?bill)
} ;

# Payments and what they may have paid: pairs within one local month first, then the fewest days between, then by name.
INSERT { ?pair tv:ofPayment ?payment ; tv:ofBill ?bill ; tv:pairKey ?key }
WHERE {
  GRAPH ?bank {
    ?payment a tv:Payment ; tv:quantity ?paid ; tv:localDay ?paidOn .
    OPTIONAL { ?payment schema:name ?name }
    OPTIONAL { ?payment tv:merchantCategory ?merchant }
  }
  BIND (ROUND(?paid * 100) AS ?hundredths)
  GRAPH ?shop { ?bill tv:billHundredths ?hundredths ; tv:billWord ?word ; tv:billDay ?bought }
  BIND (?paidOn - ?bought AS ?days)
  FILTER ("P0D"^^xsd:dayTimeDuration <= ?days && ?days <= "P5D"^^xsd:dayTimeDuration)
  FILTER (
    ( ?word = "" && COALESCE(?merchant, "") IN ("4111", "4112", "4131") )
    || ( ?word != "" && CONTAINS(CONCAT(" ", LCASE(COALESCE(?name, "")), " "), CONCAT(" ", ?word, " ")) )
  )
  BIND (IF(SUBSTR(STR(?paidOn), 1, 7) = SUBSTR(STR(?bought), 1, 7), "0", "1") AS ?later)
  BIND (IF(?days = "P0D"^^xsd:dayTimeDuration, "0", SUBSTR(STR(?days), 2, 1)) AS ?count)
  BIND (CONCAT(?later, " ", ?count, " ", STR(?payment), " ", STR(?bill)) AS ?key)
  BIND (IRI(CONCAT("urn:tvilling:pair:", ENCODE_FOR_URI(?key))) AS ?pair)
} ;

# One trip, two sources: the measured one, else the one whose grant sorts first.
INSERT { GRAPH ?grant { ?trip tv:countedBy ?other ; tv:notCountedBecause r:trip-told-twice } }
WHERE {
  GRAPH ?grant { ?trip a tv:TransitTrip ; tv:mode ?mode ; tv:localDay ?day ; prov:startedAtTime ?start . OPTIONAL { ?trip tv:inferred ?inferred } }
  GRAPH ?another { ?other a tv:TransitTrip ; tv:mode ?mode ; tv:localDay ?day ; prov:startedAtTime ?otherStart . OPTIONAL { ?other tv:inferred ?otherInferred } }
  FILTER (?grant != ?another)
  BIND (?start - ?otherStart AS ?apart)
  FILTER ("-PT15M"^^xsd:dayTimeDuration <= ?apart && ?apart <= "PT15M"^^xsd:dayTimeDuration)
  BIND (COALESCE(?inferred, false) AS ?concluded)
  BIND (COALESCE(?otherInferred, false) AS ?otherConcluded)
  FILTER ( (?concluded && !?otherConcluded) || (?concluded = ?otherConcluded && STR(?another) < STR(?grant)) )
} ;

# Steps: for each hour the device with the most; a day's total instead of its hours where it is larger.
INSERT { GRAPH ?grant { ?count tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device } }
WHERE {
  GRAPH ?grant { ?count a tv:StepCount ; prov:startedAtTime ?start ; prov:endedAtTime ?end ; tv:localDay ?day . OPTIONAL { ?count tv:sourceNote ?note } }
  BIND (IF(?end - ?start <= "PT1H"^^xsd:dayTimeDuration, SUBSTR(STR(?start), 1, 13), "day") AS ?hour)
  BIND (CONCAT(STR(?grant), " ", COALESCE(?note, "")) AS ?device)
} ;

# Days of driving: the source with the most kilometres, by the same means.
INSERT { GRAPH ?grant { ?count tv:walkHour "driven" ; tv:walkDay ?day ; tv:device ?device } }
WHERE {
  GRAPH ?grant { ?count a tv:DrivingDay ; tv:localDay ?day . OPTIONAL { ?count tv:sourceNote ?note } }
  BIND (CONCAT(STR(?grant), " ", COALESCE(?note, "")) AS ?device)
} ;

INSERT { ?walk tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device ; tv:hourSteps ?steps }
WHERE {
  { SELECT ?hour ?day ?device (FLOOR(SUM(?each) + 0.5) AS ?steps)
    WHERE { GRAPH ?grant { ?count tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device ; tv:quantity ?each } }
    GROUP BY ?hour ?day ?device }
  BIND (IRI(CONCAT("urn:tvilling:walk:", STR(?day), ":", ?hour, ":", ENCODE_FOR_URI(?device))) AS ?walk)
} ;

INSERT { ?walk tv:countedBy ?better }
WHERE {
  ?walk tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device ; tv:hourSteps ?steps .
  ?better tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?other ; tv:hourSteps ?more .
  FILTER ( ?more > ?steps || (?more = ?steps && ?other < ?device) )
} ;

INSERT { ?long tv:dayHours ?hours }
WHERE {
  SELECT ?long (SUM(?steps) AS ?hours)
  WHERE {
    ?long tv:walkHour "day" ; tv:walkDay ?day .
    FILTER NOT EXISTS { ?long tv:countedBy ?better }
    ?hour tv:walkDay ?day ; tv:hourSteps ?steps ; tv:walkHour ?name .
    FILTER (?name != "day" && ?name != "driven")
    FILTER NOT EXISTS { ?hour tv:countedBy ?more }
  }
  GROUP BY ?long
} ;

INSERT { ?loser tv:countedBy ?winner }
WHERE {
  ?long tv:walkHour "day" ; tv:walkDay ?day ; tv:hourSteps ?whole .
  FILTER NOT EXISTS { ?long tv:countedBy ?better }
  OPTIONAL { ?long tv:dayHours ?hours }
  BIND (?whole > COALESCE(?hours, -1) AS ?wholeCounts)
  ?loser tv:walkDay ?day ; tv:walkHour ?at .
  FILTER (?at != "driven")
  BIND (IF(?wholeCounts, ?long, IRI(CONCAT("urn:tvilling:walk:", STR(?day)))) AS ?winner)
  FILTER ( (?wholeCounts && ?at != "day") || (!?wholeCounts && ?at = "day") )
} ;

INSERT { GRAPH ?grant { ?count tv:countedBy ?winner ; tv:notCountedBecause ?rule } }
WHERE {
  ?walk tv:countedBy ?winner ; tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device .
  GRAPH ?grant { ?count tv:walkHour ?hour ; tv:walkDay ?day ; tv:device ?device }
  BIND (IF(?hour = "driven", r:drive-once, r:walk-once) AS ?rule)
}

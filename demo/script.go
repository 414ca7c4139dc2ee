package demo

// bot is one assistant of the demo.
type bot struct {
	name     string
	modern   bool // the wire form of Rasa Pro 3.16; else that of Rasa 3.6
	share    float64
	channels []string
	releases []release
	greeting string
	fallback string
	handoff  string
	rating   string
	bye      string
	thanks   []string
	lost     []string // what it does not understand
	flows    []flow
}

// release is a version of an assistant; it begins at a share of the demo's time.
type release struct {
	name  string
	from  float64
	slow  float64 // factor on response times
	lost  float64 // share of messages that are not understood
	human float64 // factor on hand-overs
}

type flow struct {
	id    string
	share float64
	ask   []string // how users begin
	steps []step
	done  string
	image bool // the closing message carries a picture
}

type step struct {
	slot    string
	say     string
	answers []string
	buttons bool
	drop    float64 // share of users that leave here
}

var bots = []bot{
	{
		name: "harbour-bank", modern: true, share: 0.5, channels: []string{"socketio", "rest", "whatsapp"},
		releases: []release{
			{"harbour-4.1", 0, 1, 0.05, 1},
			{"harbour-4.2", 0.38, 0.9, 0.04, 0.9},
			{"harbour-4.3", 0.71, 1.7, 0.11, 1.9},
			{"harbour-4.3.1", 0.76, 0.85, 0.035, 0.85},
		},
		greeting: "Good day, this is Harbour Bank. How can I help?",
		fallback: "I did not quite get that. Could you say it in other words?",
		handoff:  "I am passing you to a colleague. One moment.",
		rating:   "How was this conversation for you?",
		bye:      "Thank you for banking with us. Have a good day.",
		thanks:   []string{"thanks, that was all", "great, thank you", "no, nothing else", "perfect 👍"},
		lost: []string{
			"asdf", "can my dog have an account", "why is everything so expensive these days", "🤷",
			"the thing from last time, you know", "No no no. Not that.",
		},
		flows: []flow{
			{"block_card", 3, []string{
				"I lost my card", "please block my card", "my wallet was stolen!!", "card gone, block it now",
			}, []step{
				{
					"card_kind", "I am sorry to hear that. Is it a debit or a credit card?",
					[]string{"debit", "credit", "prepaid"},
					true, 0.03,
				},
				{
					"card_digits", "What are the last four digits, if you know them?",
					[]string{"4471", "0092", "I don't know", "9318 I believe"},
					false, 0.05,
				},
				{"confirm", "I will block that card now. Shall I go on?", []string{"yes", "no"}, true, 0.02},
			}, "Done. The card is blocked and a new one is on its way to you.", false},
			{"check_balance", 4, []string{
				"what's my balance", "how much money do I have", "balance please", "is my salary there yet?",
			}, []step{
				{"account", "Which account do you mean?", []string{"current account", "savings", "both"}, true, 0.04},
			}, "Your balance is 2,418.07 euro as of this morning.", false},
			{"transfer_money", 3, []string{
				"I want to send money to my landlord", "make a transfer", "transfer 300 to Anna",
			}, []step{
				{
					"recipient", "Who shall receive the money?",
					[]string{"Anna Lindqvist", "my landlord", "the one from last month"},
					false, 0.06,
				},
				{"amount", "How much?", []string{"300", "1,250.00 euro", "fifty"}, false, 0.05},
				{
					"confirm", "Please check: is everything as you want it?",
					[]string{"yes", "change something"},
					true,
					0.08,
				},
			}, "The transfer is under way and arrives within ten seconds.", false},
			{"dispute_charge", 1.4, []string{
				"there is a charge I don't recognise", "I want my money back, this wasn't me",
				"somebody used my card in a shop I have never been to",
			}, []step{
				{
					"charge", "Which charge is it?",
					[]string{"the 89.90 one from Tuesday", "Café Mirage 14.20", "there are three of them"},
					false, 0.12,
				},
				{
					"seen_before", "Have you bought at this shop before?",
					[]string{"never", "not sure", "yes"},
					true,
					0.1,
				},
				{
					"statement", "What happened, in a few words?",
					[]string{
						"I was at home all day", "The shop went bankrupt and never delivered",
						"no idea, that is why I am asking you",
					},
					false, 0.15,
				},
			}, "Your claim is filed. We will write to you within five working days.", false},
			{"mortgage_appointment_with_a_specialist_for_first_time_buyers", 0.6, []string{
				"I want to talk about a mortgage", "we would like to buy our first flat",
			}, []step{
				{
					"city", "In which city are you looking?",
					[]string{"Turku", "Porto", "Gdańsk", "somewhere at the coast"},
					false, 0.1,
				},
				{
					"day", "Which day suits you?",
					[]string{"Thursday afternoon", "any day after six", "next week"},
					true, 0.1,
				},
			}, "You are booked. A specialist will call you then.", true},
		},
	},
	{
		name: "parcel-desk", modern: false, share: 0.35, channels: []string{"telegram", "webchat", "facebook"},
		releases: []release{
			{"7f1c0e4b9d5a4c33a1e2f0b4c6d81e90", 0, 1, 0.08, 1},
			{"b2a4e97c01d84f6f9a3c5e7d1f2b4a68", 0.55, 0.95, 0.06, 0.9},
		},
		greeting: "Hello, parcel desk here. Ask me about a parcel.",
		fallback: "Sorry, I did not understand that. You can ask where a parcel is, or change its delivery.",
		handoff:  "I will get somebody from the depot for you.",
		rating:   "Was this helpful, from 1 to 5?",
		bye:      "Glad I could help. Bye!",
		thanks:   []string{"ok thanks", "dziękuję bardzo", "merci beaucoup", "cheers", "ありがとうございます"},
		lost: []string{
			"???", "my neighbour's cat", "你们几点开门", "hvor er min pakke henne altså", "you are useless",
			"RETURN THE RETURN",
		},
		flows: []flow{
			{"track_parcel", 5, []string{
				"where is my parcel", "gdzie jest moja paczka?", "荷物はどこですか", "track 00482 1377", "أين طردي؟",
			}, []step{
				{
					"number", "What is the parcel's number?",
					[]string{"0048213770", "PL-99-118", "it says JD0140 on the slip"},
					false, 0.07,
				},
			}, "It is in the van and arrives today between 14:00 and 16:00.", true},
			{"change_delivery", 2.5, []string{
				"I am not at home tomorrow", "deliver it to my neighbour instead", "can you bring it on Saturday",
			}, []step{
				{
					"number", "Which parcel do you mean?",
					[]string{"0048213770", "the one from the shoe shop", "00 51 99 02"},
					false, 0.08,
				},
				{
					"place", "Where shall we leave it?",
					[]string{"at the neighbour's", "parcel locker at the station", "behind the bins"},
					true, 0.09,
				},
			}, "All right, I have changed the delivery.", false},
			{"complain", 1.2, []string{
				"my parcel is broken", "the driver threw it over the fence", "it arrived wet",
			}, []step{
				{
					"number", "I am sorry. What is the number on it?",
					[]string{"0048213770", "torn off, cannot read"},
					false, 0.1,
				},
				{
					"photo", "Can you send a picture of the damage?",
					[]string{"sent", "how?", "I already threw it away"},
					false, 0.2,
				},
			}, "Thank you. We will look at it and write to you.", false},
		},
	},
	{
		name: "Städtische Wohnungsgesellschaft – Mieterservice und " +
			"Reparaturannahme", modern: true, share: 0.15, channels: []string{"webchat", "audiocodes"},
		releases: []release{{"mieterservice-2026.7", 0, 1.2, 0.06, 1.2}, {"mieterservice-2026.9", 0.5, 1.1, 0.05, 1}},
		greeting: "Guten Tag, hier ist der Mieterservice. Worum geht es?",
		fallback: "Das habe ich leider nicht verstanden. Können Sie es anders sagen?",
		handoff:  "Ich verbinde Sie mit einer Kollegin.",
		rating:   "Waren Sie mit diesem Gespräch zufrieden?",
		bye:      "Vielen Dank und einen schönen Tag.",
		thanks:   []string{"danke, das war alles", "super, danke schön", "nein, das war's"},
		lost: []string{
			"hä?", "mein Nachbar übt Geige", "Donaudampfschifffahrtsgesellschaftskapitänsmützenhalterung",
			"kann ich bitte mit einem Menschen sprechen",
		},
		flows: []flow{
			{"reparatur_melden", 4, []string{
				"die Heizung ist kalt", "bei uns tropft der Wasserhahn", "Aufzug steckt schon wieder",
			}, []step{
				{"raum", "In welchem Raum ist der Schaden?", []string{"Küche", "Bad", "im Treppenhaus"}, true, 0.05},
				{
					"seit_wann", "Seit wann?",
					[]string{"seit gestern Abend", "seit drei Wochen!", "weiß ich nicht genau"},
					false, 0.05,
				},
				{"termin", "Wann darf jemand kommen?", []string{"vormittags", "ab 16 Uhr", "egal"}, true, 0.07},
			}, "Ist gemeldet. Die Werkstatt ruft Sie vorher an.", false},
			{"nebenkosten_erklaeren", 2, []string{
				"warum zahle ich so viel nach", "Frage zur Nebenkostenabrechnung",
			}, []step{
				{"jahr", "Um welches Jahr geht es?", []string{"2025", "letztes Jahr"}, true, 0.08},
			}, "Die Abrechnung mit allen Belegen liegt in Ihrem Postfach.", true},
		},
	},
}

package conversation

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The defaults of what ends a conversation: they leave nothing open. In patterns * stands for anything.

// defaultClosingQuestions are names of responses, and questions by which an assistant asks whether there is more, or
// for a rating.
var defaultClosingQuestions = []string{
	"utter_ask_csat_score", "utter_can_do_something_else", "utter_ask_continue_conversation", "utter_*anything_else*",
	"utter_*something_else*",
	"utter_*what_else*", "utter_*csat*", "utter_rating*", "utter_*_rating*", "utter_ask_rate*", "utter_ask_*feedback*",
	"utter_feedback", "utter_feedback_request*", "utter_request_feedback*", "utter_*_satisf*", "utter_satisf*",
	"utter_*did_that_help*",
	"*anything else*?", "*something else*?", "*what else can*?", "*more i can do*?", "*need more help*?",
	"*how was this conversation*?", "*rate this*?", "*rate your*?", "*rate our*?", "rate this*", "please rate this*",
	"rate your*", "please rate your*",
	"*did that help*?", "*did this help*?", "*was this helpful*?", "*was that helpful*?", "*how satisfied*?",
	"*noch etwas*?", "*sonst noch*?", "*noch weiterhelfen*?", "*wie zufrieden*?", "*war das hilfreich*?",
	"*autre chose*?", "*algo más*?", "*otra cosa*?",
	"*qualcos'altro*?", "*altro che posso*?", "*mais alguma coisa*?", "*algo mais*?", "*nog iets anders*?",
	"*något annat*?", "*något mer*?", "*jotain muuta*?",
	"*andet jeg kan*?", "*noe annet*?", "*w czymś jeszcze*?", "*ještě něco*?", "*başka bir*?", "*что-нибудь ещё*?",
	"*ещё что-*?",
}

// ratingPatterns are those of closing questions that ask for a rating.
var ratingPatterns = patternsOf([]string{
	"*csat*", "rating*", "*_rating*", "* rating*", "rate *", "* rate this*", "* rate your*", "* rate our*",
	"*ask_rate*", "*feedback*", "*satisf*", "*did that help*", "*did this help*", "*was this helpful*",
	"*was that helpful*",
	"*how was this conversation*", "*zufrieden*", "*hilfreich*",
})

// defaultClosingIntents are intents by which people say thanks and good bye.
var defaultClosingIntents = []string{
	"thank*", "*_thank", "*_thanks", "*_thank_you", "*_thankyou", "*goodbye*", "*good_bye*", "bye", "bye_*", "*_bye",
	"end_conversation", "*farewell*", "danke", "merci", "gracias", "grazie", "obrigado", "bedankt",
}

// defaultClosingWords are words and phrases of which a message consists that says no more than thanks and good bye.
var defaultClosingWords = []string{
	"thanks", "thank you", "thank u", "thx", "tnx", "ty", "cheers", "many thanks", "very much", "so much", "a lot",
	"bye", "bye bye", "goodbye", "good bye", "see you", "see ya", "later",
	"have a nice day", "have a good day", "have a great day", "good night", "take care", "that is all", "that's all",
	"thats all", "that was all", "that's it", "thats it", "nothing else",
	"no thanks", "no thank you", "i'm good", "im good", "all good", "ok", "okay", "k", "great", "perfect", "awesome",
	"cool", "nice", "good", "fine", "got it", "understood", "you too",
	"danke", "danke schön", "dankeschön", "vielen dank", "besten dank", "nein danke", "tschüss", "tschüs", "ciao",
	"auf wiedersehen", "bis bald", "das war alles", "das wars", "das war's", "alles klar", "super", "schönen tag noch",
	"gut", "passt",
	"merci", "merci beaucoup", "non merci", "au revoir", "à bientôt", "bonne journée", "c'est tout", "d'accord",
	"parfait",
	"gracias", "muchas gracias", "no gracias", "adiós", "adios", "hasta luego", "eso es todo", "nada más", "vale",
	"perfecto",
	"grazie", "grazie mille", "no grazie", "arrivederci", "è tutto", "perfetto", "va bene",
	"obrigado", "obrigada", "muito obrigado", "muito obrigada", "não obrigado", "tchau", "até logo", "é só isso",
	"perfeito",
	"bedankt", "dank je", "dank je wel", "dank u", "dank u wel", "nee dank je", "nee bedankt", "tot ziens", "doei",
	"dat is alles", "prima",
	"tack", "tack så mycket", "nej tack", "hej då", "det var allt", "kiitos", "kiitti", "paljon", "ei kiitos",
	"hei hei", "heippa", "näkemiin", "tak", "mange tak", "nej tak", "farvel", "takk", "tusen takk", "nei takk",
	"ha det", "ha det bra",
	"dziękuję", "dziękuje", "dzięki", "do widzenia", "to wszystko", "děkuji", "díky", "na shledanou", "nashledanou",
	"to je vše", "köszönöm", "viszlát", "mulțumesc", "la revedere", "hvala", "doviđenja", "до свидания",
	"teşekkürler", "teşekkür ederim", "sağ ol", "hoşça kal", "güle güle", "спасибо", "большое спасибо", "пока",
	"дякую", "до побачення", "хвала", "довиђења", "ευχαριστώ", "αντίο",
	"شكرا", "شكراً", "مع السلامة", "תודה", "להתראות", "धन्यवाद", "शुक्रिया", "谢谢", "谢谢你", "再见", "好的", "ありがとう",
	"ありがとうございます", "さようなら", "감사합니다", "고마워요", "안녕히 계세요", "cảm ơn", "tạm biệt", "terima kasih",
}

// pattern is a text in lower case in which * stood for anything, in its parts.
type pattern []string

func patternsOf(texts []string) []pattern {
	all := make([]pattern, len(texts))
	for i, t := range texts {
		all[i] = strings.Split(strings.ToLower(t), "*")
	}
	return all
}

// matches tells whether a text, in lower case, is what the pattern says.
func (p pattern) matches(text string) bool {
	first, last := p[0], p[len(p)-1]
	if len(p) == 1 {
		return first == text
	}
	if len(first)+len(last) > len(text) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range p[1 : len(p)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

func matchesAny(patterns []pattern, text string) bool {
	if text == "" {
		return false
	}
	text = strings.ToLower(text)
	for _, p := range patterns {
		if p.matches(text) {
			return true
		}
	}
	return false
}

// Rules are settings as a fold goes by them.
type Rules struct {
	Settings
	Patterns []Pattern // by id

	questions, intents []pattern
	phrases            map[string][][]string // of closing words, by the first

	asked, closing memo // by the names of responses and intents
	sentences      memo // by the last sentences of replies
}

// memo keeps whether names and sentences match, of so many: most are of a few, and those come often.
type memo struct {
	mu    sync.RWMutex
	known map[string]bool
}

// Bounds of what a memo keeps; when it is full it begins anew.
const (
	mostRemembered    = 1000
	longestRemembered = 300 // bytes
)

func (m *memo) matches(patterns []pattern, name string) bool {
	if len(name) > longestRemembered {
		return matchesAny(patterns, name)
	}
	if name == "" {
		return false
	}
	m.mu.RLock()
	match, ok := m.known[name]
	m.mu.RUnlock()
	if ok {
		return match
	}
	match = matchesAny(patterns, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= mostRemembered {
		m.known = map[string]bool{}
	}
	m.known[strings.Clone(name)] = match // the name is a part of much more
	return match
}

// NewRules returns the rules that settings make.
func NewRules(s Settings) *Rules {
	r := &Rules{
		Settings: s, questions: patternsOf(s.ClosingQuestions), intents: patternsOf(s.ClosingIntents),
		phrases: map[string][][]string{},
	}
	for _, text := range s.ClosingWords {
		if phrase := wordsOf(text); len(phrase) > 0 {
			r.phrases[phrase[0]] = append(r.phrases[phrase[0]], phrase)
		}
	}
	return r
}

// closes tells whether what a user says leaves nothing open, by its intent or by its words.
func (r *Rules) closes(e *Event) bool {
	return r.closing.matches(r.intents, e.Intent) || r.closingWords(e.Text)
}

// longestClosing is how long a message can be, in bytes, that says no more than thanks.
const longestClosing = 200

// closingWords tells whether a text consists of closing words and phrases alone.
func (r *Rules) closingWords(text string) bool {
	if len(text) == 0 || len(text) > longestClosing {
		return false
	}
	words := wordsOf(text)
	if len(words) == 0 {
		return false
	}
	for len(words) > 0 {
		longest := 0
		for _, phrase := range r.phrases[words[0]] {
			longest = max(longest, leads(words, phrase))
		}
		if longest == 0 {
			return false
		}
		words = words[longest:]
	}
	return true
}

// leads returns how many words the phrase has with which the others begin, or 0.
func leads(words, phrase []string) int {
	if len(phrase) > len(words) {
		return 0
	}
	for i, w := range phrase {
		if words[i] != w {
			return 0
		}
	}
	return len(phrase)
}

// wordsOf returns the words of a text in lower case, without punctuation and pictures.
func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(text, "’", "'")), func(r rune) bool {
		return r != '\'' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.M, r)
	})
}

// closingQuestion tells whether a reply is nothing but a question that leaves nothing open, by its name or its words;
// rest is what it says before such a question.
func (r *Rules) closingQuestion(e *Event) (rest string, closing bool) {
	if r.asked.matches(r.questions, e.Name) {
		return "", true
	}
	head, last := lastSentence(e.Text)
	if !r.sentences.matches(r.questions, last) {
		return "", false
	}
	return head, true
}

// lastSentence parts a text before its last sentence.
func lastSentence(text string) (head, last string) {
	text = strings.TrimSpace(text)
	body := strings.TrimRight(text, "?？!.。 \n\t")
	at, size := len(body), 0
	for size == 0 && at > 0 {
		r, n := utf8.DecodeLastRuneInString(body[:at])
		at -= n
		switch r {
		case '.', '!', '?', '\n', '。', '？', '！':
			size = n
		}
	}
	if size == 0 {
		return "", text
	}
	return strings.TrimSpace(text[:at+size]), strings.TrimSpace(text[at+size:])
}

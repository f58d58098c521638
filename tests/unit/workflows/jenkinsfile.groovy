// Reads Jenkinsfiles, a line each in base64, and answers with what Groovy makes of them, a line of JSON each: the
// statements as {call, args, named, body} or {assign, value}, or {error}. Nothing is run.
import groovy.json.JsonOutput
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.*

class Shown {
  static Object expression(Expression each) {
    switch (each) {
      case ConstantExpression: return [value: each.value]
      case GStringExpression: return [gstring: each.text]
      case ListExpression: return [list: each.expressions.collect { expression(it) }]
      case MapExpression: return [map: map(each)]
      case MethodCallExpression: return call(each)
      case VariableExpression: return [call: each.name, args: [], named: [:], body: null]
      default: return [other: each.class.simpleName]
    }
  }

  static Map map(MapExpression each) {
    each.mapEntryExpressions.collectEntries { [(it.keyExpression.text): expression(it.valueExpression)] }
  }

  static Map call(MethodCallExpression each) {
    def given = each.arguments instanceof TupleExpression ? each.arguments.expressions : [each.arguments]
    def shown = [call: each.methodAsString, args: [], named: [:], body: null, on: each.implicitThis ? null : each.objectExpression.text]
    given.each {
      if (it instanceof ClosureExpression) shown.body = statements(it.code)
      else if (it instanceof MapExpression) shown.named += map(it)
      else if (it instanceof TupleExpression) it.expressions.each { shown.named += map(it) }
      else shown.args << expression(it)
    }
    shown
  }

  static List statements(Statement block) {
    (block instanceof BlockStatement ? block.statements : [block]).collect {
      if (!(it instanceof ExpressionStatement || it instanceof ReturnStatement)) return [other: it.class.simpleName]
      def found = it.expression
      if (found instanceof BinaryExpression && found.operation.text == '=')
        return [assign: found.leftExpression.text, value: expression(found.rightExpression)]
      expression(found)
    }
  }
}

System.in.eachLine('US-ASCII') { line ->
  def answer
  try {
    def unit = SourceUnit.create('Jenkinsfile', new String(line.decodeBase64(), 'UTF-8'))
    unit.parse()
    unit.completePhase()
    unit.convert()
    answer = Shown.statements(unit.AST.statementBlock)
  } catch (CompilationFailedException error) {
    answer = [error: error.message]
  }
  println JsonOutput.toJson(answer)
  System.out.flush()
}
